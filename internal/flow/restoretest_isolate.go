package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/quiet"
)

// isolation is how a restore test differs from a restore: it goes into namespaces of its own, and what is in them is quiet.
type isolation struct {
	quiet.Policy
	run string
	// excluded are the namespaces that are left out although nobody said so.
	excluded []string
}

var policyType = coffer.ResourceType{
	GroupResource: coffer.GroupResource{Group: "networking.k8s.io", Resource: "networkpolicies"}, Version: "v1", Kind: "NetworkPolicy", Namespaced: true,
}

// keepApart gives every namespace of the recovery point a name of the run's own, those that are not restored as well: what refers to
// them then leads nowhere, and not to the original.
func (i *isolation) keepApart(r *plan.Request, namespaces []string) {
	r.Mappings = make(map[string]string, len(namespaces))
	for _, name := range namespaces {
		r.Mappings[name] = quiet.Namespace(i.run, name)
		if slices.Contains(i.excluded, name) {
			r.Excluded = append(slices.Clone(r.Excluded), name)
		}
	}
}

// fence makes sure that the namespaces are the run's own, and lets no pod out of them before there is any.
func (a *application) fence(ctx context.Context) error {
	policy, err := quiet.Fence(a.run())
	if err != nil {
		return err
	}
	for _, name := range a.plan.Namespaces {
		body, err := a.Cluster.Get(ctx, namespaceType, "", name)
		if err != nil {
			return err
		}
		if mine, err := a.isolated.owns(body); err != nil {
			return err
		} else if !mine {
			return coffer.Errorf(coffer.CodeObjectsExist, "there is a namespace %s already, and it is not this test's", name).
				WithHint("look whose it is; another run of the test has other names")
		}
		if a.isolated.External {
			continue
		}
		err = a.insist(ctx, func() error {
			_, err := a.creator.Create(ctx, policyType, name, policy)
			return err
		})
		if err != nil && coffer.CodeOf(err) != coffer.CodeExists {
			return fmt.Errorf("keep the pods of namespace %s in: %w", name, err)
		}
	}
	return nil
}

// owns says whether a namespace is the run's own: its name and its label say so. Either alone could be somebody else's doing.
func (i *isolation) owns(namespace []byte) (bool, error) {
	var h coffer.Header
	if err := json.Unmarshal(namespace, &h); err != nil {
		return false, fmt.Errorf("read a namespace: %w", err)
	}
	return strings.HasPrefix(h.Metadata.Name, quiet.Prefix(i.run)) && h.Metadata.Labels[quiet.RunLabel] == i.run, nil
}
