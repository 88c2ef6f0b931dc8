package connector

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// ConsentConfig is what consent is given by.
type ConsentConfig struct {
	// Client is the connector itself.
	Client                     client.Client
	Namespace, VaultsNamespace string
	// Allowed says that the cluster's owner lets the vault's server give trusted access.
	Allowed bool
	Log     *slog.Logger
}

// operator is the ClusterRole that trusted access is.
const operator = "backup-operator"

// NewConsent gives trusted access to the vault that asks, if the cluster's owner has said at join that it may: by one RoleBinding.
func NewConsent(c ConsentConfig) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != wire.ConsentPath {
			http.NotFound(w, r)
			return
		}
		if p := c.give(r); p != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(p)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (c ConsentConfig) give(r *http.Request) *wire.Problem {
	identity := Identity(r.Context())
	name := "coffer-" + identity
	if !c.Allowed {
		return &wire.Problem{
			Code: string(coffer.CodeTrustedAccessMissing), Message: "the cluster's owner has not let the server give trusted access", Final: true,
			Hint: fmt.Sprintf("its owner does: kubectl create rolebinding %s -n %s --clusterrole=%s --serviceaccount=%s:%s", name, c.Namespace, operator, c.VaultsNamespace, identity),
		}
	}
	err := c.Client.Create(r.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/managed-by": "coffer-connector"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: operator},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: c.VaultsNamespace, Name: identity}},
	})
	switch {
	case err == nil:
		c.Log.Info("trusted access given", "rolebinding", name)
		return nil
	case apierrors.IsAlreadyExists(err):
		// What somebody has made of it meanwhile is theirs: the vault asks the API server what it may.
		return nil
	case apierrors.IsForbidden(err) || apierrors.IsInvalid(err):
		c.Log.Error("trusted access not given", "error", err)
		return &wire.Problem{
			Code: string(coffer.CodeTrustedAccessMissing), Message: "the connector may not make the binding", Final: true,
			Hint: "install the extension with connector.allowBindingsByOwner",
		}
	}
	c.Log.Warn("trusted access not given", "error", err)
	return &wire.Problem{Code: string(coffer.CodeClusterNotReachable), Message: "the connector does not reach its API server"}
}
