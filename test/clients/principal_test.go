package clients

import (
	"net/http"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/uuid"
)

// principal is a service principal that may do nothing yet.
type principal struct{ clientID, objectID, secret string }

// newServicePrincipal makes one, as `coffer service-principal` does.
func (a *azure) newServicePrincipal() principal {
	a.t.Helper()
	p := principal{clientID: uuid.NewString()}
	id := "/providers/Coffer.Backup/servicePrincipals/" + p.clientID
	var made struct{ Properties struct{ ObjectID string } }
	a.call(http.StatusCreated, http.MethodPut, id, map[string]any{"properties": map[string]any{"displayName": "terraform"}}, &made)
	var issued struct{ SecretText string }
	a.call(http.StatusCreated, http.MethodPost, id+"/secrets", nil, &issued)
	p.objectID, p.secret = made.Properties.ObjectID, issued.SecretText
	return p
}

// withHeader is the same client, whose requests have one header more.
func (a *azure) withHeader(name, value string) *azure {
	c := *a
	options := *a.options
	options.PerCallPolicies = append(slices.Clone(options.PerCallPolicies), header{name, value})
	c.options = &options
	return &c
}

// header is a policy that adds one.
type header struct{ name, value string }

// Do implements policy.Policy.
func (h header) Do(r *policy.Request) (*http.Response, error) {
	r.Raw().Header.Set(h.name, h.value)
	return r.Next()
}
