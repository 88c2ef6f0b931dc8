package vault

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// The types that are no provider's.
const (
	typeSubscription = "Microsoft.Resources/subscriptions"
	typeGroup        = "Microsoft.Resources/resourceGroups"
)

var guidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

type subscriptionBody struct {
	DisplayName string `json:"displayName"`
}

// SubscriptionKind is a subscription: resource groups that are governed together.
func SubscriptionKind(tenant string) Kind {
	return Kind{
		Type: typeSubscription, Noun: "subscription", Parents: []string{""}, Body: subscriptionBody{},
		Judge: func(_ context.Context, _ catalogue.View, p Proposal) (Verdict, error) {
			if !guidForm.MatchString(p.ID.Name()) {
				return Verdict{}, invalid(p.ID, "the name of a subscription is a GUID")
			}
			body, err := decode[subscriptionBody](p)
			if err != nil {
				return Verdict{}, err
			}
			if body.DisplayName == "" || len(body.DisplayName) > 64 {
				return Verdict{}, invalid(p.ID, "displayName has %d characters: give 1 to 64", len(body.DisplayName))
			}
			return Verdict{Facts: facts(object{
				"subscriptionId": p.ID.Name(), "tenantId": tenant, "state": "Enabled", "authorizationSource": "RoleBased",
				"subscriptionPolicies": object{"spendingLimit": "Off", "quotaId": "Coffer"},
			})}, nil
		},
		Removable: mustBeEmpty,
	}
}

// GroupKind is a resource group.
func GroupKind() Kind {
	return Kind{
		Type: typeGroup, Noun: "resource group", Parents: []string{typeSubscription}, MustExist: true, Body: trackedBody{},
		Judge: func(_ context.Context, _ catalogue.View, p Proposal) (Verdict, error) {
			if name := p.ID.Name(); len(name) > 90 || strings.HasSuffix(name, ".") {
				return Verdict{}, invalid(p.ID, "the name of a resource group has at most 90 characters, and no dot at its end")
			}
			return Verdict{Facts: succeeded}, checkTracked(p)
		},
		Removable: mustBeEmpty,
	}
}

// succeeded are the facts of what is ready once it is written.
var succeeded = json.RawMessage(`{"properties":{"provisioningState":"Succeeded"}}`)

// mustBeEmpty refuses to delete what others lie in. Azure would delete them all; here backups could be among them. Role assignments
// are no contents.
func mustBeEmpty(ctx context.Context, v catalogue.View, r catalogue.Resource) error {
	var names []string
	err := each(ctx, v, catalogue.ResourceQuery{Under: r.ID}, func(below catalogue.Resource) error {
		if !strings.EqualFold(below.ID.Type(), access.AssignmentType) && len(names) < namedInstances {
			names = append(names, string(below.ID))
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		return err
	}
	return coffer.Errorf(coffer.CodeConflict, "%s is not empty: it holds %s", r.ID, strings.Join(names, ", ")).
		WithHint("delete what it holds first")
}
