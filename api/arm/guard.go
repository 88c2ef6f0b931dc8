package arm

import "time"

// ResourceGuardResource is the body of a resource guard.
type ResourceGuardResource struct {
	Location   string             `json:"location,omitempty"`
	Tags       map[string]*string `json:"tags,omitempty"`
	Properties *ResourceGuard     `json:"properties,omitempty"`
}

// ResourceGuard are the properties of a resource guard: first what a client says, then what the server adds.
type ResourceGuard struct {
	VaultCriticalOperationExclusionList []string `json:"vaultCriticalOperationExclusionList,omitempty"`

	Description             string                   `json:"description,omitempty"`
	AllowAutoApprovals      *bool                    `json:"allowAutoApprovals,omitempty"`
	ProvisioningState       Word                     `json:"provisioningState,omitempty"`
	ResourceGuardOperations []ResourceGuardOperation `json:"resourceGuardOperations,omitempty"`
}

// ResourceGuardOperation is a critical operation that a guard covers, and the type of its operation requests.
type ResourceGuardOperation struct {
	VaultCriticalOperation string `json:"vaultCriticalOperation,omitempty"`
	RequestResourceType    string `json:"requestResourceType,omitempty"`
}

// ResourceGuardProxyResource is the body of what puts a vault under a resource guard.
type ResourceGuardProxyResource struct {
	Properties *ResourceGuardProxy `json:"properties,omitempty"`
}

// ResourceGuardProxy are its properties: first what a client says, then what the server adds.
type ResourceGuardProxy struct {
	ResourceGuardResourceID string `json:"resourceGuardResourceId,omitempty"`
	// ResourceGuardOperationRequests are of the request, and not kept.
	ResourceGuardOperationRequests []string `json:"resourceGuardOperationRequests,omitempty"`

	Description                   string                         `json:"description,omitempty"`
	LastUpdatedTime               *time.Time                     `json:"lastUpdatedTime,omitempty"`
	ResourceGuardOperationDetails []ResourceGuardOperationDetail `json:"resourceGuardOperationDetails,omitempty"`
	Coffer                        *CofferProxy                   `json:"coffer,omitempty"`
}

// ResourceGuardOperationDetail is a critical operation on the vault, and the operation request that it takes.
type ResourceGuardOperationDetail struct {
	VaultCriticalOperation string `json:"vaultCriticalOperation,omitempty"`
	DefaultResourceRequest string `json:"defaultResourceRequest,omitempty"`
}

// CofferProxy is what Azure's words have no room for.
type CofferProxy struct {
	// Unlocks are what may be deleted for a while.
	Unlocks []ProxyUnlock `json:"unlocks,omitempty"`
	// Warning says why the guard does not protect the vault from whoever has just put it under the guard. It is in the answer to that only.
	Warning string `json:"warning,omitempty"`
}

// ProxyUnlock is what somebody may delete until a time.
type ProxyUnlock struct {
	Request     string    `json:"request,omitempty"`
	Resource    string    `json:"resource,omitempty"`
	PrincipalID string    `json:"principalId,omitempty"`
	ExpiryTime  time.Time `json:"expiryTime,omitzero"`
}

// UnlockDeleteRequest names the operation requests by which something is to be deleted.
type UnlockDeleteRequest struct {
	ResourceGuardOperationRequests []string `json:"resourceGuardOperationRequests,omitempty"`
	// ResourceToBeDeleted is the proxy itself where it is left out.
	ResourceToBeDeleted string `json:"resourceToBeDeleted,omitempty"`
}

// UnlockDeleteResponse says until when it can be deleted.
type UnlockDeleteResponse struct {
	UnlockDeleteExpiryTime time.Time `json:"unlockDeleteExpiryTime"`
}

// GuardedRequest is what bodies have in common of requests that a resource guard may cover.
type GuardedRequest struct {
	ResourceGuardOperationRequests []string `json:"resourceGuardOperationRequests,omitempty"`
	Properties                     struct {
		ResourceGuardOperationRequests []string `json:"resourceGuardOperationRequests,omitempty"`
	} `json:"properties,omitzero"`
}

// maxRequests is how many operation requests a request may name: there are not as many operations.
const maxRequests = 20

// GuardRequests are the operation requests of resource guards that the body of a request names, of an action or of a resource that is written.
func GuardRequests(body []byte) ([]string, error) {
	if len(body) == 0 {
		return nil, nil
	}
	read, err := Decode[GuardedRequest](body)
	if err != nil {
		return nil, err
	}
	all := append(read.ResourceGuardOperationRequests, read.Properties.ResourceGuardOperationRequests...)
	if len(all) > maxRequests {
		return nil, &Error{Problem: Problem{Path: "resourceGuardOperationRequests", Message: "has too many elements"}}
	}
	return all, nil
}

// Problems are what is wrong with the form of a resource guard.
func (g *ResourceGuardResource) Problems(at string) []Problem {
	var f form
	f.text(At(at, "location"), g.Location, 100)
	f.count(At(at, "tags"), len(g.Tags), maxList)
	if p := g.Properties; p != nil {
		path := At(at, "properties.vaultCriticalOperationExclusionList")
		if f.count(path, len(p.VaultCriticalOperationExclusionList), 50) {
			for i, name := range p.VaultCriticalOperationExclusionList {
				f.text(Item(path, i), name, maxText)
			}
		}
	}
	return f
}
