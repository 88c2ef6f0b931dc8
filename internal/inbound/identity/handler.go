package identity

import (
	"net/http"
	"strings"
)

// adfs stands where the tenant does, for clients that know Microsoft's login only by Microsoft's own host.
const adfs = "adfs"

// endpoint is what a path means, below its tenant.
type endpoint int

const (
	noEndpoint endpoint = iota
	tokenEndpoint
	configurationEndpoint
	keysEndpoint
)

// route finds out what a path means; case does not matter, and doubled slashes count as one.
func route(path string) (tenant string, e endpoint) {
	words := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(words) < 2 || len(words) > 5 {
		return "", noEndpoint
	}
	switch strings.ToLower(strings.Join(words[1:], "/")) {
	case "oauth2/v2.0/token", "oauth2/token":
		return words[0], tokenEndpoint
	case "v2.0/.well-known/openid-configuration", ".well-known/openid-configuration":
		return words[0], configurationEndpoint
	case "discovery/v2.0/keys", "discovery/keys":
		return words[0], keysEndpoint
	}
	return "", noEndpoint
}

// Serves says whether a request's path is one of this handler's: of those of ARM none is.
func Serves(path string) bool {
	_, e := route(path)
	return e != noEndpoint
}

// ServeHTTP answers the requests of Serves. Who is limited is r.RemoteAddr: behind a proxy that is trusted, set it to the client's.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tenant, e := route(r.URL.Path)
	method := http.MethodGet
	if e == tokenEndpoint {
		method = http.MethodPost
	}
	switch {
	case e == noEndpoint:
		refuse(http.StatusNotFound, "invalid_request", "there is nothing here").write(w, a.config.NowFunc())
	case r.Method != method:
		w.Header().Set("Allow", method)
		refuse(http.StatusMethodNotAllowed, "invalid_request", "the method has to be "+method).write(w, a.config.NowFunc())
	case !a.knows(tenant):
		refuse(http.StatusBadRequest, "invalid_tenant", "there is no such tenant here: the tenant of this server is "+a.config.Tenant).write(w, a.config.NowFunc())
	case e == tokenEndpoint:
		a.serveToken(w, r)
	case e == configurationEndpoint:
		a.serveConfiguration(w, r, tenant)
	case e == keysEndpoint:
		a.serveKeys(w, r)
	}
}

// knows says whether a path names this server's tenant. Clients that have not been told one ask for "common" or "organizations".
func (a *Authority) knows(tenant string) bool {
	for _, name := range []string{a.config.Tenant, adfs, "common", "organizations"} {
		if strings.EqualFold(tenant, name) {
			return true
		}
	}
	return false
}

// configuration is a discovery document of OpenID Connect.
type configuration struct {
	Issuer string `json:"issuer"`
	// Authorization is nowhere: nobody signs in here by a browser. Microsoft's libraries insist on the field.
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Keys          string   `json:"jwks_uri"`
	Grants        []string `json:"grant_types_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	Responses     []string `json:"response_types_supported"`
	Subjects      []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
}

// serveConfiguration says where everything is, under the name by which the client reached the server: Microsoft's libraries refuse an
// issuer of another host than the one they asked, and a tunnel or a second name must not break them. The tokens are issued in the
// name of PublicURL all the same.
func (a *Authority) serveConfiguration(w http.ResponseWriter, r *http.Request, tenant string) {
	c := configuration{
		Grants: []string{"client_credentials"}, AuthMethods: []string{"client_secret_post", "client_secret_basic"},
		Responses: []string{"token"}, Subjects: []string{"public"}, Algorithms: []string{string(signingAlgorithm)},
	}
	base := "https://" + r.Host
	if strings.EqualFold(tenant, adfs) {
		base += "/" + adfs
		c.Issuer, c.Token, c.Authorization, c.Keys = base, base+"/oauth2/token", base+"/oauth2/authorize", base+"/discovery/keys"
	} else {
		base += "/" + a.config.Tenant
		c.Issuer, c.Token, c.Authorization, c.Keys = base+"/v2.0", base+"/oauth2/v2.0/token", base+"/oauth2/v2.0/authorize", base+"/discovery/v2.0/keys"
	}
	writeJSON(w, http.StatusOK, c)
}

func (a *Authority) serveKeys(w http.ResponseWriter, r *http.Request) {
	set, err := a.keys.public(r.Context())
	if err != nil {
		a.unavailable(r, err).write(w, a.config.NowFunc())
		return
	}
	writeJSON(w, http.StatusOK, set)
}
