package clients

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	"github.com/hashicorp/go-azure-sdk/resource-manager/resources/2022-09-01/providers"
	"github.com/hashicorp/go-azure-sdk/sdk/client/resourcemanager"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
)

func TestTerraformLearnsTheEnvironmentFromTheMetadata(t *testing.T) {
	t.Parallel()
	e := newTerraform(t).environment
	if e.Name == "" || e.IsAzureStack() {
		t.Errorf("the environment %q passes for Azure Stack, by %+v", e.Name, e.Authorization)
	}
	if at, ok := e.ResourceManager.Endpoint(); !ok || *at != server.URL {
		t.Errorf("the resource manager is at %v", at)
	}
	if e.Authorization.LoginEndpoint != server.URL || len(e.Authorization.Audiences) == 0 || e.Authorization.Audiences[0] != server.URL {
		t.Errorf("authorization: %+v", e.Authorization)
	}
	// Without this suffix the provider does not start: "the endpoint AzureStorage is not supported in this Azure Environment".
	for _, api := range []environments.Api{e.Storage, e.KeyVault} {
		if suffix, ok := api.DomainSuffix(); !ok || *suffix == "" {
			t.Errorf("%s has no domain suffix", api.Name())
		}
	}
}

func TestTheProviderOfTerraformStarts(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	e := tf.environment
	// It makes an authorizer for each of these, and fails where one has no scope; of those that are not available it makes none.
	apis := []environments.Api{e.ResourceManager, e.Storage, e.KeyVault, e.MicrosoftGraph}
	for _, api := range []environments.Api{e.Synapse, e.Batch, e.ManagedHSM} {
		if api.Available() {
			apis = append(apis, api)
		}
	}
	for _, api := range apis {
		if _, err := tf.login(api, server.ClientID, server.ClientSecret).Token(tf.ctx, &http.Request{}); err != nil {
			t.Errorf("%s: %v", api.Name(), err)
		}
	}
	// With enhanced validation it lists the resource providers.
	c := ready(tf, providers.NewProvidersClientWithBaseURI, func(c *providers.ProvidersClient) *resourcemanager.Client { return c.Client }, e.ResourceManager)
	listed, err := c.ListComplete(tf.ctx, commonids.NewSubscriptionID(server.SubscriptionID), providers.DefaultListOperationOptions())
	if err != nil || len(listed.Items) < 5 {
		t.Errorf("providers: %+v, %v", listed.Items, err)
	}
}

func TestTheAzureCLIFindsItsKeysInTheMetadata(t *testing.T) {
	t.Parallel()
	// The slashes are doubled where the endpoint was given with one at its end.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"//metadata/endpoints?api-version=2015-01-01", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var found struct {
		GalleryEndpoint string `json:"galleryEndpoint"`
		GraphEndpoint   string `json:"graphEndpoint"`
		PortalEndpoint  string `json:"portalEndpoint"`
		Authentication  struct {
			LoginEndpoint string   `json:"loginEndpoint"`
			Audiences     []string `json:"audiences"`
		} `json:"authentication"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		t.Errorf("%s, %s", answer.Status, answer.Header)
	}
	if found.GalleryEndpoint == "" || found.GraphEndpoint == "" || found.PortalEndpoint == "" || found.Authentication.LoginEndpoint == "" || len(found.Authentication.Audiences) == 0 {
		t.Errorf("found: %+v", found)
	}
}
