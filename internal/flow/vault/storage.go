package vault

import (
	"context"
	"net/http"
	"net/url"
	"regexp"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const typeStorage = "Microsoft.Storage/storageAccounts"

var storageName = regexp.MustCompile(`^[a-z0-9]{3,24}$`)

type storageBody struct {
	tracked
	Properties struct {
		Coffer struct {
			Provider string `json:"provider"`
			Endpoint string `json:"endpoint"`
		} `json:"coffer"`
	} `json:"properties"`
}

// StorageKind is a storage account: the name of an endpoint that keeps blob containers. It is made by hand, or by whoever sets the
// extension up; nothing is made at the endpoint.
func StorageKind() Kind {
	return Kind{
		Type: typeStorage, Noun: "storage account", Parents: []string{typeGroup}, Created: http.StatusOK, Body: storageBody{},
		Judge: func(_ context.Context, _ catalogue.View, p Proposal) (Verdict, error) {
			if !storageName.MatchString(p.ID.Name()) {
				return Verdict{}, invalid(p.ID, "the name of a storage account has 3 to 24 small letters and digits")
			}
			if err := checkTracked(p); err != nil {
				return Verdict{}, err
			}
			body, err := decode[storageBody](p)
			if err != nil {
				return Verdict{}, err
			}
			endpoint := body.Properties.Coffer.Endpoint
			switch provider := body.Properties.Coffer.Provider; provider {
			case "", "azure", "s3", "gcs", "filesystem":
			default:
				return Verdict{}, invalid(p.ID, "properties.coffer.provider is %.60q", provider).WithHint("use azure, s3, gcs or filesystem")
			}
			if endpoint == "" {
				endpoint = "https://" + p.ID.Name() + ".blob.core.windows.net/"
			}
			if u, err := url.Parse(endpoint); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
				// Signatures stand in queries, and everybody who may read the account reads its endpoint.
				return Verdict{}, invalid(p.ID, "properties.coffer.endpoint is not a url of http or https without credentials and without a query")
			}
			return Verdict{Facts: facts(object{"properties": object{"provisioningState": "Succeeded", "primaryEndpoints": object{"blob": endpoint}}})}, nil
		},
	}
}
