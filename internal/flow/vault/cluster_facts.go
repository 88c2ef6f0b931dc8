package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// ClusterState is whether a cluster has joined, and whether its link is there.
type ClusterState string

// The states of a cluster.
const (
	ClusterPending      ClusterState = "Pending"
	ClusterConnected    ClusterState = "Connected"
	ClusterDisconnected ClusterState = "Disconnected"
)

// ClusterFacts are what the server says of a cluster, as properties.coffer. What the cluster says of itself is bounded, and names in it
// are names in Kubernetes.
type ClusterFacts struct {
	State ClusterState `json:"state"`
	// Message says what that means, and Command is what to do about it; both may be empty.
	Message string `json:"message,omitempty"`
	Command string `json:"command,omitempty"`
	// ClusterUID is the UID of the namespace kube-system of the cluster that has joined.
	ClusterUID        string `json:"clusterUid,omitempty"`
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	ConnectorVersion  string `json:"connectorVersion,omitempty"`
	// Namespace is the extension's, and VaultsNamespace where the identities of vaults are.
	Namespace       string `json:"namespace,omitempty"`
	VaultsNamespace string `json:"vaultsNamespace,omitempty"`
	// BindingsByOwner says that the cluster's owner lets this server give trusted access.
	BindingsByOwner bool `json:"bindingsByOwner"`
	// SettingsByOwner says that the cluster's owner lets this server change where recovery points are written to, by the settings of the extension's resource.
	SettingsByOwner bool     `json:"settingsByOwner,omitempty"`
	Notes           []string `json:"notes"`
	// Joined is when it joined, and Since when State began.
	Joined time.Time `json:"joined,omitzero"`
	Since  time.Time `json:"since,omitzero"`
	// LinkedBy is the replica of the server that holds its link.
	LinkedBy string `json:"linkedBy,omitempty"`
	// Joining is drawn when the cluster joins for the first time, and ends when it leaves: its certificates are of it.
	Joining string `json:"joining,omitempty"`
	// JoinedBy is by what, if that is no connector. A kubeconfig that is replaced has another Joining.
	JoinedBy JoinedBy `json:"joinedBy,omitempty"`
}

// JoinedBy is by what a cluster has joined. The zero value is a connector.
type JoinedBy string

// JoinedByKubeconfig is of clusters that this server dials.
const JoinedByKubeconfig JoinedBy = "Kubeconfig"

// ClusterFactsOf reads what the server knows of a cluster.
func ClusterFactsOf(r catalogue.Resource) (ClusterFacts, error) {
	f, err := cofferFacts[ClusterFacts](r)
	if f.State == "" {
		f.State = ClusterPending
	}
	return f, err
}

// cofferFacts reads properties.coffer of what the server knows of a resource.
func cofferFacts[T any](r catalogue.Resource) (T, error) {
	var f struct {
		Properties struct {
			Coffer T `json:"coffer"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(orEmpty(r.Facts), &f); err != nil {
		return f.Properties.Coffer, fmt.Errorf("read the facts of %s: %w", r.ID, err)
	}
	return f.Properties.Coffer, nil
}

// withFacts is a resource with other facts in its properties, by their names; all others stay.
func withFacts(r catalogue.Resource, set object) (catalogue.Resource, error) {
	var f map[string]json.RawMessage
	var properties map[string]json.RawMessage
	err := json.Unmarshal(orEmpty(r.Facts), &f)
	if err == nil {
		err = json.Unmarshal(orEmpty(f["properties"]), &properties)
	}
	if err != nil {
		return r, fmt.Errorf("read the facts of %s: %w", r.ID, err)
	}
	for name, value := range set {
		properties[name] = facts(value)
	}
	if f == nil {
		f = map[string]json.RawMessage{}
	}
	f["properties"] = facts(properties)
	r.Facts = facts(f)
	return r, nil
}

// withLink is a resource that has one link of a relation; an empty target is none.
func withLink(r catalogue.Resource, relation, target string) catalogue.Resource {
	r.Links = slices.DeleteFunc(slices.Clone(r.Links), func(l catalogue.Link) bool { return l.Relation == relation })
	if target != "" {
		r.Links = append(r.Links, catalogue.Link{Relation: relation, Target: strings.ToLower(target)})
	}
	return r
}

// pendingCluster is what is said of a cluster that has not joined, and of all that waits for that.
func pendingCluster(cluster catalogue.ID) ClusterFacts {
	return ClusterFacts{
		State: ClusterPending, Message: "the cluster has not joined; what is configured takes effect once it has",
		Command: "coffer cluster join " + string(cluster), Notes: []string{},
	}
}

// putCluster writes the facts of a cluster and what follows from them for its extension.
func putCluster(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, f ClusterFacts) (catalogue.Resource, error) {
	r, err := withFacts(r, object{"coffer": f})
	if err != nil {
		return r, err
	}
	kept := ""
	if f.JoinedBy == JoinedByKubeconfig {
		kept = kubeconfigKept
	}
	r = withLink(withLink(r, catalogue.LinkClusterUID, f.ClusterUID), catalogue.LinkReplica, f.LinkedBy)
	r = withLink(r, catalogue.LinkKubeconfig, kept)
	if r, err = tx.PutResource(ctx, r, catalogue.Condition{Version: r.Version}); err != nil {
		return r, err
	}
	return r, each(ctx, tx, catalogue.ResourceQuery{Type: typeExtension, Under: r.ID}, func(e catalogue.Resource) error {
		was, err := ExtensionFactsOf(e)
		if err != nil {
			return err
		}
		return putExtension(ctx, tx, e, f, was.StorageLocation, isAwaited(e))
	})
}

// What a cluster says of itself has been bounded where it came in. These become part of a command that people copy, so they are looked at
// once more.
var (
	uidForm       = regexp.MustCompile(`^[0-9a-zA-Z][0-9a-zA-Z-]{0,63}$`)
	namespaceForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// infoOf is what a connector says of its cluster.
func infoOf(h link.Hello) (catalogue.ClusterInfo, error) {
	info := catalogue.ClusterInfo{
		UID: h.ClusterUID, Namespace: h.Namespace, VaultsNamespace: h.VaultsNamespace, Version: h.Version,
		KubernetesVersion: h.KubernetesVersion, BindingsByOwner: h.BindingsByOwner, Settings: h.Settings, SettingsByOwner: h.Settings && h.SettingsByOwner, Notes: h.Notes,
	}
	return info, checkInfo(info)
}

// uidKey is equal for all spellings of a UID.
func uidKey(uid string) string { return strings.ToLower(uid) }

// checkInfo refuses names that are none.
func checkInfo(i catalogue.ClusterInfo) error {
	switch {
	case !uidForm.MatchString(i.UID):
		return coffer.Errorf(coffer.CodeInvalidInput, "the cluster's UID is %.80q", i.UID)
	case !namespaceForm.MatchString(i.Namespace):
		return coffer.Errorf(coffer.CodeInvalidInput, "the extension's namespace is %.80q", i.Namespace)
	case !namespaceForm.MatchString(i.VaultsNamespace) || i.VaultsNamespace == i.Namespace:
		return coffer.Errorf(coffer.CodeInvalidInput, "the namespace of the identities of vaults is %.80q, and the extension's %.80q", i.VaultsNamespace, i.Namespace)
	}
	return nil
}

// said is f with what a cluster says of itself.
func (f ClusterFacts) said(i catalogue.ClusterInfo) ClusterFacts {
	f.ClusterUID, f.Namespace, f.VaultsNamespace, f.BindingsByOwner = uidKey(i.UID), i.Namespace, i.VaultsNamespace, i.BindingsByOwner
	f.SettingsByOwner = i.SettingsByOwner
	f.KubernetesVersion, f.ConnectorVersion, f.Notes = i.KubernetesVersion, i.Version, append([]string{}, i.Notes...)
	return f
}
