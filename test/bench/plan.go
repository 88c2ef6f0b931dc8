package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/selection"
	"github.com/coffer-backup/coffer/internal/flow"
)

// planned is how long planning may take.
const planned = 5 * time.Second

// planning measures what a plan costs beside the reading of archive and cluster: the items read off n archived objects, the
// plan made against a cluster that has every second one, encoded and summed up, by one goroutine.
func planning(n int) ([]row, error) {
	name := fmt.Sprintf("plan-%dk", n/1000)
	_, objects := mixed(name, n)
	var types []coffer.ResourceType
	for _, k := range kinds {
		types = append(types, k.resource)
	}
	for i := range objects {
		objects[i].body = []byte(strings.Replace(string(objects[i].body), `"metadata":{`, fmt.Sprintf(`"metadata":{"uid":"uid-%d",`, i), 1))
	}
	var ours []float64
	for range repetitions {
		began := time.Now()
		if err := planOnce(name, objects, types); err != nil {
			return nil, err
		}
		ours = append(ours, time.Since(began).Seconds())
		say("%s: %.2fs", name, ours[len(ours)-1])
	}
	return []row{newRow(name, ours, []float64{planned.Seconds()}, "s", "<= 1.0", "items read, plan made, encoded and digested, against the budget")}, nil
}

func planOnce(point string, objects []object, types []coffer.ResourceType) error {
	r := plan.Request{
		Config: selection.Config{Point: point, LabelSelectors: []string{"team"}, Rules: selection.Rules{ClusterScope: selection.ClusterScopeNeeded}},
		Policy: plan.PatchExisting, VolumeData: true,
	}
	items := make([]plan.Item, 0, len(objects))
	have := plan.Inventory{Objects: map[coffer.ObjectRef]plan.Live{}}
	for i, o := range objects {
		ref := coffer.ObjectRef{GroupResource: o.resource.GroupResource, Namespace: o.namespace, Name: fmt.Sprintf("object-%d", i)}
		item, err := r.Read(ref, o.body)
		if err != nil {
			return err
		}
		items = append(items, item)
		have.Objects[coffer.ObjectRef{GroupResource: namespaceType.GroupResource, Name: o.namespace}] = plan.Live{UID: o.namespace}
		if i%2 == 0 {
			have.Objects[ref] = plan.Live{UID: fmt.Sprint("live-", i)}
		}
	}
	draft, _, err := plan.Make(items, nil, r, plan.NewTypes(types))
	if err != nil {
		return err
	}
	fitted := draft.Against(have)
	_, _, err = flow.EncodePlan(point, "sha256:", fitted, items)
	if err == nil && len(fitted.Steps) != len(objects) {
		err = fmt.Errorf("%d of %d objects are in the plan", len(fitted.Steps), len(objects))
	}
	return err
}
