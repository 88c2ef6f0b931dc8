package csi

import (
	"context"
	"regexp"
	"strings"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// pageLimit is how many objects are asked for at a time.
const pageLimit = 500

// cutName is the name of a VolumeSnapshot that Cut makes for a run of Kubernetes: its UID is a UUID.
var cutName = regexp.MustCompile(`^coffer-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-[0-9a-f]+$`)

// Cuts implements coffer.Snapshots, with one list in pages.
func (s *Snapshots) Cuts(ctx context.Context) ([]coffer.RunSnapshots, error) {
	var found []coffer.RunSnapshots
	at := map[string]int{}
	for next := ""; ; {
		var page snapshotv1.VolumeSnapshotContentList
		if err := s.client.List(ctx, &page, client.Limit(pageLimit), client.Continue(next)); err != nil {
			return nil, translate(err, "list VolumeSnapshotContents")
		}
		for i := range page.Items {
			run := cutBy(&page.Items[i])
			if run == "" {
				continue
			}
			n, known := at[run]
			if !known {
				n = len(found)
				at[run] = n
				found = append(found, coffer.RunSnapshots{Run: run, Created: page.Items[i].CreationTimestamp.UTC()})
			}
			f := &found[n]
			f.Snapshots++
			if status := page.Items[i].Status; status != nil && status.RestoreSize != nil {
				f.Bytes += *status.RestoreSize
			}
			if created := page.Items[i].CreationTimestamp.UTC(); created.Before(f.Created) {
				f.Created = created
			}
		}
		if next = page.Continue; next == "" {
			return found, nil
		}
	}
}

// cutBy is the run that a content was cut for, through our own class; empty is what others have made, and what was presented.
func cutBy(c *snapshotv1.VolumeSnapshotContent) string {
	name := cutName.FindStringSubmatch(c.Spec.VolumeSnapshotRef.Name)
	class := c.Spec.VolumeSnapshotClassName
	if name == nil || c.Spec.Source.VolumeHandle == nil || class == nil || !strings.HasPrefix(*class, retainPrefix) {
		return ""
	}
	return name[1]
}
