package plan

import (
	"fmt"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// Live is an object of the cluster.
type Live struct {
	UID string
	// Terminating says that it is being deleted.
	Terminating bool
}

// Inventory is what is known of the cluster's objects: at least of the namespaces that a plan writes to, and of the targets
// of its steps.
type Inventory struct {
	Objects map[coffer.ObjectRef]Live
	// UnknownFunc says why it is not known whether an object exists; empty if it is. Nil means that all is known.
	UnknownFunc func(coffer.ObjectRef) string
}

// neverReplaced are types whose deletion takes along what the recovery point may not have, all that is in a namespace, all
// objects of a type, the data of a volume, or somebody's rights, those by which the restore goes on among them: they are patched
// instead.
var neverReplaced = map[coffer.GroupResource]bool{
	namespaces: true, definitions: true, persistentVolumes: true,

	{Group: rbacGroup, Resource: "clusterroles"}: true, {Group: rbacGroup, Resource: "clusterrolebindings"}: true,
	{Group: rbacGroup, Resource: "roles"}: true, {Group: rbacGroup, Resource: "rolebindings"}: true,
}

const rbacGroup = "rbac.authorization.k8s.io"

// policy is what is done with an object of the cluster if it exists.
func (m *maker) policy(ref coffer.ObjectRef, d selection.Decision) Policy {
	chosen := m.policies[ref.GroupResource]
	switch {
	case d.Reason != "":
		// Nobody asked for it to be as it was, but that it is there.
		return SkipExisting
	case m.request.runsBy(ref):
		return SkipExisting
	case ref.GroupResource == accounts && (chosen != FailIfExists || ref.Name == "default"):
		// Controllers write to them, and Kubernetes makes the one called default.
		return PatchExisting
	case chosen == ReplaceExisting && (neverReplaced[ref.GroupResource] || m.request.isExtension(ref.Namespace)):
		// What the extension reads, and where it keeps recovery points, has to be there all the time.
		return PatchExisting
	}
	return chosen
}

// Against fits a plan of Make to a cluster that has these objects.
func (p Plan) Against(have Inventory) Plan {
	spaces := map[string]space{}
	for _, name := range p.Namespaces {
		spaces[name] = have.space(name)
	}
	fitted := p
	fitted.Steps = make([]Step, len(p.Steps))
	for i, s := range p.Steps {
		if s.Action != Skip {
			s.meet(have, spaces[s.Target.Namespace])
		}
		fitted.Steps[i] = s
	}
	return fitted
}

// space is a namespace of the cluster: the zero value exists.
type space struct{ missing, terminating bool }

func (inv Inventory) space(name string) space {
	ref := coffer.ObjectRef{GroupResource: namespaces, Name: name}
	live, exists := inv.Objects[ref]
	return space{missing: !exists && inv.unknown(ref) == "", terminating: live.Terminating}
}

func (inv Inventory) unknown(ref coffer.ObjectRef) string {
	if inv.UnknownFunc == nil {
		return ""
	}
	return inv.UnknownFunc(ref)
}

// meet decides what becomes of an object in view of what exists.
func (s *Step) meet(have Inventory, in space) {
	live, exists := have.Objects[s.Target]
	switch {
	case in.missing:
		s.Unchecked = "its namespace does not exist yet"
		return
	case in.terminating:
		// What exists there will be gone before anything is restored.
		s.Unchecked = "its namespace is being deleted, and is made anew first"
		return
	case !exists:
		if why := have.unknown(s.Target); why != "" {
			s.Unchecked = why
		}
		return
	}
	s.UID = live.UID
	if live.Terminating {
		s.Terminating = true
		s.because("an object of this name is being deleted: it is made anew once that is gone")
		return
	}
	s.conflict()
}

// conflict decides what becomes of an object that exists. Unless it is made anew, its owners are its own affair.
func (s *Step) conflict() {
	if s.Policy != ReplaceExisting && s.Warning != coffer.CodeVersionNotServed {
		// What was said of the object that would be made.
		s.Reason, s.Warning = "", ""
	}
	if s.Policy == ReplaceExisting && s.Target.GroupResource == claims && s.Volume == nil {
		s.Action, s.Warning, s.Owners, s.KeptVolume = Skip, coffer.CodeVolumeRestoredEmpty, nil, ""
		s.Reason = "it exists, and is left as it is: there is no data to put in the place of its volume's"
		return
	}
	switch s.Policy {
	case FailIfExists:
		s.Action, s.Reason, s.Warning = Fail, "it exists", ""
	case ReplaceExisting:
		s.Action = Replace
		s.because("it exists: it is deleted and created again")
	case PatchExisting:
		s.Action = Patch
		s.because("it exists: what differs is changed")
	default:
		s.Action, s.Reason, s.Warning = Skip, "it exists, and is left as it is", ""
	}
	s.share()
	if s.Action == Replace {
		return
	}
	s.Owners, s.KeptVolume = nil, ""
	if s.Volume != nil {
		s.Volume, s.Warning = nil, coffer.CodeVolumeRestoredEmpty
		s.because("its volume is left untouched: delete the claim, or use policy Replace, to have the data of the recovery point")
	}
}

// Conflicts are the steps for which the plan is not to be carried out, the first few of them in full.
func (p Plan) Conflicts() error {
	const shown = 5
	var names []string
	n := 0
	for _, s := range p.Steps {
		if s.Action != Fail {
			continue
		}
		if n++; n <= shown {
			names = append(names, s.Target.String())
		}
	}
	if n == 0 {
		return nil
	}
	text := fmt.Sprintf("%q", names)
	if n > shown {
		text = fmt.Sprintf("%q and %d more", names, n-shown)
	}
	return coffer.Errorf(coffer.CodeObjectsExist, "conflict policy Fail: nothing was restored, because these exist: %s", text).
		WithHint("remove them, restore into another namespace with namespaceMappings, or choose another policy, for single types with conflictPolicies")
}
