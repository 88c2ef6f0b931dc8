package arm

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// Metadata serves /metadata/endpoints, by which Azure's clients learn where everything is. One document serves all of them: it has
// the keys of api-version 2022-09-01, which Terraform reads, and the flat ones of 2015-01-01, which the Azure CLI reads.
func Metadata(baseURL func(r *http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		base := baseURL(r)
		host := base
		if u, err := url.Parse(base); err == nil {
			host = u.Hostname()
		}
		text, err := json.Marshal(map[string]any{
			"name": "Coffer", "portal": base, "resourceManager": base, "microsoftGraphResourceId": base,
			// Terraform takes another tenant, or another provider of identities, for Azure Stack, and a slash at the end for a part
			// of the tenant's name.
			"authentication": map[string]any{
				"loginEndpoint": base, "audiences": []string{base, base + "/"}, "tenant": "common", "identityProvider": "AAD",
			},
			"suffixes": map[string]string{
				"storage": "core." + host, "keyVaultDns": "vault." + host, "acrLoginServer": "azurecr." + host, "sqlServerHostname": "database." + host,
				"mhsmDns": "managedhsm." + host, "attestationEndpoint": "attest." + host,
			},
			"galleryEndpoint": base, "graphEndpoint": base, "graph": base, "graphAudience": base, "portalEndpoint": base, "batch": base,
			"media": base, "resourceManagerEndpoint": base,
		})
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(text)
	})
}

// Base is what the urls in answers to a request begin with.
func (s *Server) Base(r *http.Request) string { return s.base(r) }
