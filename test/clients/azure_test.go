package clients

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// azure is what Microsoft's clients are made of.
type azure struct {
	t          *testing.T
	ctx        context.Context
	credential azcore.TokenCredential
	options    *arm.ClientOptions
}

// newAzure logs in as the administrator.
func newAzure(t *testing.T) *azure {
	t.Helper()
	a := newAzureAs(t, server.ClientID, server.ClientSecret)
	administrator.mu.Lock()
	defer administrator.mu.Unlock()
	if administrator.credential == nil {
		administrator.credential = a.credential
	}
	a.credential = administrator.credential
	return a
}

// newAzureAs logs in with a client secret at the server's own authority.
func newAzureAs(t *testing.T, clientID, secret string) *azure {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	options := policy.ClientOptions{Cloud: ownCloud()}
	credential, err := azidentity.NewClientSecretCredential(server.TenantID, clientID, secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: options, DisableInstanceDiscovery: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	// By default these clients register resource providers where they are told that one is missing: none ever is.
	return &azure{t: t, ctx: ctx, credential: credential, options: &arm.ClientOptions{ClientOptions: options}}
}

// ownCloud is the server as Microsoft's SDKs want it told.
func ownCloud() cloud.Configuration {
	return cloud.Configuration{
		ActiveDirectoryAuthorityHost: server.URL + "/",
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			cloud.ResourceManager: {Endpoint: server.URL, Audience: server.URL},
		},
	}
}

// typed makes a client of a subscription by its constructor.
func typed[C any](a *azure, construct func(subscription string, credential azcore.TokenCredential, options *arm.ClientOptions) (*C, error)) *C {
	a.t.Helper()
	made, err := construct(server.SubscriptionID, a.credential, a.options)
	if err != nil {
		a.t.Fatal(err)
	}
	return made
}

// call sends a request of ARM that there is no typed client for, and decodes the answer into out, unless that is nil.
func (a *azure) call(status int, method, path string, body, out any) *http.Response {
	a.t.Helper()
	c, err := arm.NewClient("clients", "v1.0.0", a.credential, a.options)
	if err != nil {
		a.t.Fatal(err)
	}
	r, err := runtime.NewRequest(a.ctx, method, runtime.JoinPaths(c.Endpoint(), path)+"?api-version=2025-07-01")
	if err == nil && body != nil {
		err = runtime.MarshalAsJSON(r, body)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	answer, err := c.Pipeline().Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	if answer.StatusCode != status {
		a.t.Fatalf("%s %s: want %d: %v", method, path, status, runtime.NewResponseError(answer))
	}
	if out != nil {
		if err := runtime.UnmarshalAsJSON(answer, out); err != nil {
			a.t.Fatal(err)
		}
	}
	return answer
}

// done waits for a long-running operation, and answers what came of it.
func done[R any](a *azure, poller *runtime.Poller[R], err error) R {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
	result, err := poller.PollUntilDone(a.ctx, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	return result
}

// all are the pages of a list.
func all[P any](a *azure, pager *runtime.Pager[P]) []P {
	a.t.Helper()
	var pages []P
	for pager.More() {
		page, err := pager.NextPage(a.ctx)
		if err != nil {
			a.t.Fatal(err)
		}
		pages = append(pages, page)
	}
	return pages
}

// values are those of all pages. A page may have fewer than the server looks at: it shows what may be read.
func values[P, V any](pages []P, of func(P) []V) []V {
	var found []V
	for _, p := range pages {
		found = append(found, of(p)...)
	}
	return found
}

var names atomic.Int64

// newName is a name that no other test uses.
func newName(kind string) string { return fmt.Sprintf("%s%d", kind, names.Add(1)) }

// fixedToken is a credential with one token.
type fixedToken string

// GetToken implements azcore.TokenCredential.
func (t fixedToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// mustBeRefused fails unless an error is one that azcore reads a status and a code of.
func mustBeRefused(t *testing.T, err error, status int, code string) {
	t.Helper()
	_ = refusalOf(t, err, status, code)
}

// refusalOf is the error that a client was answered with, which has to be this one.
func refusalOf(t *testing.T, err error, status int, code string) *azcore.ResponseError {
	t.Helper()
	var refused *azcore.ResponseError
	if !errors.As(err, &refused) || refused.StatusCode != status || refused.ErrorCode != code {
		t.Fatalf("want %d %s: %v", status, code, err)
	}
	return refused
}
