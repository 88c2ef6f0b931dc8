package vaultapi

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// credential gets tokens for a secret, or has one. The pipeline keeps what it gets for as long as it is good.
type credential struct {
	config clientcredentials.Config
	given  Token
	client *http.Client
}

func newCredential(c Config, base string, t *transport) *credential {
	return &credential{
		config: clientcredentials.Config{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, TokenURL: base + "/" + cmp.Or(c.Tenant, "common") + "/oauth2/v2.0/token",
			Scopes: []string{base + "/.default"}, AuthStyle: oauth2.AuthStyleInParams,
		},
		given:  c.Token,
		client: &http.Client{Transport: t, CheckRedirect: noRedirect},
	}
}

// GetToken implements azcore.TokenCredential.
func (c *credential) GetToken(ctx context.Context, _ azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
	if c.given.Text != "" {
		if !time.Now().Before(c.given.Expires) {
			return azcore.AccessToken{}, coffer.Errorf(coffer.CodeTokenExpired, "the token of this profile has expired at %s", c.given.Expires.UTC().Format(time.RFC3339)).
				WithHint("log in again with `coffer login`; without --no-store-secret, a login lasts as long as its secret")
		}
		return azcore.AccessToken{Token: c.given.Text, ExpiresOn: c.given.Expires}, nil
	}
	got, err := c.config.Token(context.WithValue(ctx, oauth2.HTTPClient, c.client))
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: got.AccessToken, ExpiresOn: got.Expiry}, nil
}
