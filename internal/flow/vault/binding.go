package vault

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// BindingState is whether a cluster lets a vault act in it, as it was when the cluster was asked last.
type BindingState string

// The states of a binding.
const (
	BindingPending  BindingState = "Pending"
	BindingApproved BindingState = "Approved"
)

// BindingConsent is how far the cluster's owner has consented here, beside the cluster itself.
type BindingConsent string

// Nobody has, if it is empty. What was given once is not given again: whoever takes it away in the cluster has done so.
const (
	ConsentAsked BindingConsent = "Asked"
	ConsentGiven BindingConsent = "Given"
)

// BindingFacts are what the server says of a trusted access role binding, as properties.coffer.
type BindingFacts struct {
	State BindingState `json:"state"`
	// Message says what that means, and Command is what approves it; both may be empty.
	Message string `json:"message,omitempty"`
	Command string `json:"command,omitempty"`
	// Identity is who the vault is in the cluster: see catalogue.VaultIdentity.
	Identity string `json:"identity"`
	// Namespace is the extension's, and VaultsNamespace where the identity is, once the cluster has joined.
	Namespace       string `json:"namespace,omitempty"`
	VaultsNamespace string `json:"vaultsNamespace,omitempty"`
	// VaultCreated is of the vault that is admitted: another one of its name is not.
	VaultCreated time.Time `json:"vaultCreated"`
	// Checked is when the cluster was asked last.
	Checked time.Time `json:"checked,omitzero"`
	// Consent is what somebody with the role Owner on the cluster has asked for here.
	Consent BindingConsent `json:"consent,omitempty"`
}

// BindingFactsOf reads what the server knows of a binding.
func BindingFactsOf(r catalogue.Resource) (BindingFacts, error) {
	f, err := cofferFacts[BindingFacts](r)
	if f.State == "" {
		f.State = BindingPending
	}
	return f, err
}

// in is a binding as it stands in a cluster: what was approved in one that has left is not approved.
func (f BindingFacts) in(cluster catalogue.ID, c ClusterFacts) BindingFacts {
	if c.State == ClusterPending {
		was := f
		f = BindingFacts{State: BindingPending, Identity: was.Identity, VaultCreated: was.VaultCreated, Consent: was.Consent}
		f.Message, f.Command = "the cluster has not joined; what is configured takes effect once it has", pendingCluster(cluster).Command
		return f
	}
	f.Namespace, f.VaultsNamespace = c.Namespace, c.VaultsNamespace
	f.Message, f.Command = "", ""
	if f.State != BindingApproved {
		f.Message = "the cluster's owner has not approved it: run the command with a kubeconfig of the cluster"
		if c.JoinedBy == JoinedByKubeconfig {
			f.Message = "the cluster's owner has not approved it, and the server's kubeconfig cannot: run the command with a kubeconfig of the owner's"
		}
		f.Command = f.approval()
	}
	return f
}

// approval is the command by which a cluster's owner lets the vault act in it: all of it are names in Kubernetes, and nothing that a
// shell would obey.
func (f BindingFacts) approval() string {
	return "kubectl -n " + f.Namespace + " create rolebinding coffer-" + f.Identity + " --clusterrole=backup-operator --serviceaccount=" + f.VaultsNamespace + ":" + f.Identity
}

type bindingBody struct {
	Properties struct {
		SourceResourceID string   `json:"sourceResourceId"`
		Roles            []string `json:"roles"`
	} `json:"properties"`
}

// BindingKind is trusted access: the consent that one vault may act in a cluster. The cluster has the last word: see Consents.
func BindingKind() Kind {
	return Kind{
		Type: typeBinding, Noun: "trusted access role binding", Parents: []string{typeCluster}, Deleted: http.StatusNoContent, Body: bindingBody{},
		Judge: judgeBinding,
	}
}

func judgeBinding(ctx context.Context, v catalogue.View, p Proposal) (Verdict, error) {
	if !bindingName.MatchString(p.ID.Name()) {
		return Verdict{}, invalid(p.ID, "the name of a binding has 1 to 24 letters, digits and -")
	}
	body, err := decode[bindingBody](p)
	if err != nil {
		return Verdict{}, err
	}
	source, err := catalogue.ParseID(body.Properties.SourceResourceID)
	if err != nil || !strings.EqualFold(source.Type(), typeVault) {
		return Verdict{}, invalid(p.ID, "properties.sourceResourceId is not the id of a backup vault: %.200q", body.Properties.SourceResourceID)
	}
	if len(body.Properties.Roles) != 1 || !strings.EqualFold(body.Properties.Roles[0], BackupOperator) {
		return Verdict{}, invalid(p.ID, "properties.roles is %.200q", body.Properties.Roles).WithHint("the one role that there is: %s", BackupOperator)
	}
	if err := mayReadLinked(ctx, v, p, typeBinding, source); err != nil {
		return Verdict{}, err
	}
	admitted, err := v.Resource(ctx, source)
	if err != nil {
		return Verdict{}, err
	}
	f, err := bindingState(ctx, v, p, admitted)
	if err != nil {
		return Verdict{}, err
	}
	verdict := Verdict{
		Facts: facts(object{"properties": object{"provisioningState": "Succeeded", "coffer": f}}),
		Links: []catalogue.Link{{Relation: catalogue.LinkVault, Target: source.Key()}},
	}
	if verdict.Body, err = withoutCoffer(p.Body); err != nil {
		return Verdict{}, err
	}
	return verdict, mustBeOnlyBinding(ctx, v, p.ID, source)
}

// bindingState is what is known of a binding that is proposed: what is known of it already, as long as it is for the same vault. An Owner
// of the cluster who proposes it asks for consent with that.
func bindingState(ctx context.Context, v catalogue.View, p Proposal, admitted catalogue.Resource) (BindingFacts, error) {
	f := BindingFacts{State: BindingPending, Identity: catalogue.VaultIdentity(admitted.ID, admitted.Created.At), VaultCreated: admitted.Created.At}
	if p.Before != nil {
		was, err := BindingFactsOf(*p.Before)
		if err != nil {
			return f, err
		}
		if was.Identity == f.Identity {
			f = was
		}
	}
	held, err := Held(ctx, v, p.By.Principal)
	if err != nil {
		return f, err
	}
	if access.Decide(p.By.Principal, held, access.ActionConsent, p.ID.Parent()).Allowed {
		f.Consent = ConsentAsked
	}
	_, cluster, err := clusterAt(ctx, v, p.ID.Parent())
	return f.in(p.ID.Parent(), cluster), err
}

// putBinding writes the facts of a binding.
func putBinding(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, f BindingFacts) error {
	r, err := withFacts(r, object{"coffer": f})
	if err == nil {
		_, err = tx.PutResource(ctx, r, catalogue.Condition{Version: r.Version})
	}
	return err
}

// mustBeOnlyBinding holds that there is one binding for a vault and a cluster, so that taking it away takes the consent away.
func mustBeOnlyBinding(ctx context.Context, v catalogue.View, id, source catalogue.ID) error {
	others, err := v.Resources(ctx, catalogue.ResourceQuery{
		Type: typeBinding, Under: id.Parent(), Linked: &catalogue.Link{Relation: catalogue.LinkVault, Target: source.Key()}, Limit: 2,
	})
	if err != nil {
		return err
	}
	for _, o := range others {
		if !o.ID.Is(id) {
			return coffer.Errorf(coffer.CodeConflict, "%s has trusted access already, by %s", source, o.ID).WithHint("use that binding, or delete it first")
		}
	}
	return nil
}

// UnapprovedError is why a vault may not act in a cluster that has not approved its trusted access, when it was asked last.
type UnapprovedError struct {
	// Binding is the trusted access that waits for it.
	Binding catalogue.ID
	err     *coffer.Error
}

// Error implements error.
func (e *UnapprovedError) Error() string { return e.err.Error() }

// Unwrap is what is shown of it.
func (e *UnapprovedError) Unwrap() error { return e.err }

// mustBeAdmitted refuses a vault that the cluster has not given trusted access. What was given to another vault of the same name, that
// has been deleted, was not given to this one.
func mustBeAdmitted(ctx context.Context, v catalogue.View, cluster catalogue.Resource, vault catalogue.ID) error {
	binding, f, err := bindingOf(ctx, v, cluster.ID, vault)
	switch {
	case err != nil:
		return err
	case binding == "":
		return coffer.Errorf(coffer.CodeTrustedAccessMissing, "the cluster %s has not given the vault %s trusted access", cluster.ID, vault.Name()).
			WithHint("create %s/trustedAccessRoleBindings/NAME anew with the role %s", cluster.ID, BackupOperator)
	case f.State == BindingApproved:
		return nil
	}
	// Nothing can be approved in a cluster that has not joined.
	if err := mustHaveJoined(cluster); err != nil {
		return err
	}
	return &UnapprovedError{binding, coffer.Errorf(coffer.CodeTrustedAccessMissing, "the cluster %s has not approved the trusted access of the vault %s", cluster.ID, vault.Name()).
		WithHint("let the cluster's owner run: %s", f.Command)}
}

// bindingOf is the binding of a vault to a cluster; empty if there is none, or only one of another vault that had the name before.
func bindingOf(ctx context.Context, v catalogue.View, cluster, vault catalogue.ID) (id catalogue.ID, f BindingFacts, err error) {
	bindings, err := v.Resources(ctx, catalogue.ResourceQuery{
		Type: typeBinding, Under: cluster, Linked: &catalogue.Link{Relation: catalogue.LinkVault, Target: vault.Key()}, Limit: pageSize,
	})
	if err != nil {
		return "", f, err
	}
	admitted, err := v.Resource(ctx, vault)
	if err != nil {
		return "", f, err
	}
	for _, b := range bindings {
		f, err := BindingFactsOf(b)
		if err != nil || f.Identity == catalogue.VaultIdentity(admitted.ID, admitted.Created.At) {
			return b.ID, f, err
		}
	}
	return "", BindingFacts{}, nil
}
