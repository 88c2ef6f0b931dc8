package clients

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	"github.com/hashicorp/go-azure-sdk/sdk/claims"
)

func TestAGraphTokenSaysWhoTheClientIs(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	// The provider reads its own object id in a token for Graph. Where that has none, it asks Microsoft's Graph.
	token, err := tf.login(tf.environment.MicrosoftGraph, server.ClientID, server.ClientSecret).Token(tf.ctx, &http.Request{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := claims.ParseClaims(token)
	if err != nil {
		t.Fatal(err)
	}
	if got.ObjectId == "" || got.ObjectId == server.ClientID || got.TenantId != server.TenantID || got.AppId != server.ClientID || got.IssuedAt == 0 {
		t.Errorf("claims: %+v", got)
	}
	if token.Expiry.IsZero() || token.Type() != "Bearer" {
		t.Errorf("a %s token that expires at %v", token.Type(), token.Expiry)
	}
}

func TestMicrosoftsIdentityLibraryLogsIn(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	token, err := a.credential.GetToken(a.ctx, policy.TokenRequestOptions{Scopes: []string{server.URL + "/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(token.Token, ".") != 2 || token.ExpiresOn.IsZero() {
		t.Errorf("the token is no JWT, or expires at %v", token.ExpiresOn)
	}
}

func TestTheADFSAuthorityOfTheAzureCLILogsIn(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	secret, err := confidential.NewCredFromSecret(server.ClientSecret)
	if err != nil {
		t.Fatal(err)
	}
	// The Azure CLI uses the same library in Python: an authority of this name needs nobody at login.microsoftonline.com.
	c, err := confidential.New(server.URL+"/adfs", server.ClientID, secret)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.AcquireTokenByCredential(a.ctx, []string{server.URL + "/.default"})
	if err != nil {
		t.Fatal(err)
	}
	a.credential = fixedToken(got.AccessToken)
	subscriptions, err := armsubscriptions.NewClient(a.credential, a.options)
	if err != nil {
		t.Fatal(err)
	}
	if found := all(a, subscriptions.NewListPager(nil)); len(found) == 0 || len(found[0].Value) == 0 {
		t.Error("az login would find no subscription")
	}
}

func TestAWrongSecretIsRefusedReadably(t *testing.T) {
	t.Parallel()
	a := newAzureAs(t, server.ClientID, "wrong")
	_, err := a.credential.GetToken(a.ctx, policy.TokenRequestOptions{Scopes: []string{server.URL + "/.default"}})
	var refused *azidentity.AuthenticationFailedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "invalid_client") || !strings.Contains(err.Error(), "coffer service-principal") {
		t.Errorf("azidentity: %v", err)
	}
	tf := newTerraformAs(t, server.ClientID, "wrong")
	_, err = tf.groups.Get(tf.ctx, commonids.NewResourceGroupID(server.SubscriptionID, "rg"))
	if err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("go-azure-sdk: %v", err)
	}
}

func TestAForgedTokenIsRefusedReadably(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	token, err := a.credential.GetToken(a.ctx, policy.TokenRequestOptions{Scopes: []string{server.URL + "/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	a.credential = fixedToken(token.Token[:len(token.Token)-8] + "AAAAAAAA")
	subscriptions, err := armsubscriptions.NewClient(a.credential, a.options)
	if err != nil {
		t.Fatal(err)
	}
	_, err = subscriptions.Get(a.ctx, server.SubscriptionID, nil)
	mustBeRefused(t, err, http.StatusUnauthorized, "InvalidAuthenticationToken")
}
