package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// records are where the plan and the report of a restore are kept.
type records struct {
	location Location
	layout   restorerecord.Layout
	// keys encrypt and decrypt them, if they are encrypted.
	keys encryption.Keys
}

// openRecords finds the location for the records of the run: that of the recovery point, or, where that is not ours to
// write to, the first of the cluster's own that will do. What is only in an encrypted recovery point is not written
// unencrypted. The error, if final, says why there is none.
func (r *restore) openRecords(ctx context.Context) (*records, error) {
	if r.records != nil {
		return r.records, nil
	}
	own, err := r.Settings.WritableLocations(ctx)
	if err != nil {
		return nil, err
	}
	of := r.object.Spec.StorageLocation
	names := append([]string{of}, slices.DeleteFunc(own, func(name string) bool { return name == of })...)
	var first error
	for _, name := range names {
		found, err := r.tryRecords(ctx, name)
		if err != nil && !coffer.Final(err) {
			return nil, err
		}
		if err == nil {
			r.records = found
			return found, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// tryRecords opens a location to write records to. A final error says why it will not do.
func (r *restore) tryRecords(ctx context.Context, name string) (*records, error) {
	location, err := r.Settings.Location(ctx, name)
	if err != nil {
		return nil, err
	}
	found := &records{location: location, layout: restorerecord.Layout{Backup: r.object.Spec.BackupName, Run: r.run()}}
	if err := r.checkRecords(ctx, found); err != nil {
		found.close()
		return nil, err
	}
	return found, nil
}

func (r *restore) checkRecords(ctx context.Context, found *records) error {
	location := found.location
	if location.ReadOnly || location.Velero {
		return coffer.Errorf(coffer.CodeLocationReadOnly, "BackupStorageLocation %s is only read from", location.Name)
	}
	if err := r.own(ctx, location); err != nil {
		return err
	}
	if location.KeysFunc == nil {
		if r.manifest.Encryption != nil {
			return coffer.Errorf(coffer.CodeEncryptionKeysUnusable, "recovery point %s is encrypted, and BackupStorageLocation %s is not", r.manifest.Name, location.Name)
		}
		return nil
	}
	keys, err := location.KeysFunc(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(keys.Recipients(), func(to string) bool { return slices.Contains(keys.Readers(), to) }) {
		return coffer.Errorf(coffer.CodeEncryptionKeysUnusable, "what is encrypted for BackupStorageLocation %s cannot be read again here", location.Name)
	}
	found.keys, found.layout.Encrypted = keys, true
	return nil
}

// openStored opens the location that a predecessor has stored the plan in.
func (r *restore) openStored(ctx context.Context, named v1alpha1.RestorePlan) (*records, error) {
	if r.records != nil {
		return r.records, nil
	}
	location, err := r.Settings.Location(ctx, named.StorageLocation)
	if err != nil {
		return nil, err
	}
	found := &records{location: location, layout: restorerecord.Layout{
		Backup: r.object.Spec.BackupName, Run: r.run(), Encrypted: restorerecord.IsEncrypted(named.Key),
	}}
	if found.layout.Encrypted {
		found.keys, err = storedKeys(ctx, location)
	}
	if err != nil {
		found.close()
		return nil, err
	}
	r.records = found
	return found, nil
}

func storedKeys(ctx context.Context, l Location) (encryption.Keys, error) {
	if l.KeysFunc == nil {
		return encryption.Keys{}, coffer.Errorf(coffer.CodeEncryptionKeysUnusable,
			"BackupStorageLocation %s lost its encryption while the restore was running, and the stored plan is encrypted", l.Name).
			WithHint("make another restore")
	}
	return l.KeysFunc(ctx)
}

func (s *records) close() {
	if s.location.Close != nil {
		s.location.Close()
	}
}

// put stores a record that was written into memory. A key that is taken is coffer.ErrBlobExists.
func (s *records) put(ctx context.Context, key string, record []byte) error {
	_, err := put(ctx, s.location.Container, key, func(w io.Writer) error {
		if !s.layout.Encrypted {
			_, err := w.Write(record)
			return err
		}
		sealed, err := s.keys.Encrypt(w)
		if err != nil {
			return err
		}
		if _, err := sealed.Write(record); err != nil {
			return err
		}
		return sealed.Close()
	})
	return err
}

// readRecord gives a stored record to read.
func readRecord(ctx context.Context, c coffer.Container, key string, keys encryption.Keys, read func(io.Reader) error) error {
	blob, err := c.Get(ctx, key, 0, -1)
	if errors.Is(err, coffer.ErrBlobNotFound) {
		return coffer.Errorf(coffer.CodePlanChanged, "%s is gone", key)
	}
	if err != nil {
		return err
	}
	in := &source{r: blob}
	plain := io.Reader(in)
	if restorerecord.IsEncrypted(key) {
		plain, err = keys.Decrypt(in)
	}
	if err == nil {
		err = read(plain)
	}
	if in.err != nil {
		// The store failed to give the bytes: that says nothing against them, and passes.
		err = fmt.Errorf("read %s: %w", key, in.err)
	}
	return errors.Join(err, blob.Close())
}

// EncodePlan writes a plan for items of a recovery point into memory, compressed, and answers its digest.
func EncodePlan(backup, manifestDigest string, p plan.Plan, items []plan.Item) (record []byte, digest string, err error) {
	header := restorerecord.PlanHeader{Backup: backup, ManifestDigest: manifestDigest, Namespaces: p.Namespaces, Changes: p.Changes, NotSelected: p.NotSelected}
	var out bytes.Buffer
	digest, err = restorerecord.WritePlan(&out, header, func(yield func(restorerecord.Step) bool) {
		for _, s := range p.Steps {
			if !yield(recordOf(s, items[s.Item])) {
				return
			}
		}
	})
	return out.Bytes(), digest, err
}

// recordOf is how a step is written down.
func recordOf(s plan.Step, item plan.Item) restorerecord.Step {
	line := restorerecord.Step{
		Item: s.Item, ObjectRef: s.Target, Version: s.Type.Version, Kind: s.Type.Kind, Namespaced: s.Type.Namespaced,
		Action: string(s.Action), Policy: string(s.Policy), Order: s.Order, UID: s.UID, Terminating: s.Terminating,
		Reason: s.Reason, Warning: s.Warning, Unchecked: s.Unchecked, KeptVolume: s.KeptVolume,
	}
	if item.ObjectRef != s.Target {
		line.Source = &item.ObjectRef
	}
	if s.Volume != nil {
		line.Snapshot = s.Volume.Handle
	}
	for _, o := range s.Owners {
		line.Owners = append(line.Owners, o.UID)
	}
	return line
}

// decodePlan reads a plan of this recovery point, and answers its digest.
func (r *restore) decodePlan(in io.Reader) (p plan.Plan, digest string, err error) {
	volumes := map[string]*coffer.Volume{}
	for i, v := range r.manifest.Volumes {
		volumes[v.Namespace+"/"+v.Claim] = &r.manifest.Volumes[i]
	}
	digest, err = restorerecord.ReadPlan(in, len(r.items), func(h restorerecord.PlanHeader) error {
		if h.Backup != r.manifest.Name || h.ManifestDigest != r.object.Status.ManifestDigest {
			return coffer.Errorf(coffer.CodePlanChanged, "it is of recovery point %s with manifest %s, not of this one", h.Backup, h.ManifestDigest)
		}
		p.Namespaces, p.Changes, p.NotSelected = h.Namespaces, h.Changes, h.NotSelected
		return nil
	}, func(line restorerecord.Step) error {
		s, err := r.stepOf(line, volumes)
		p.Steps = append(p.Steps, s)
		return err
	})
	return p, digest, err
}

// stepOf is the inverse of recordOf, for the items and volumes of this recovery point.
func (r *restore) stepOf(line restorerecord.Step, volumes map[string]*coffer.Volume) (plan.Step, error) {
	source := line.ObjectRef
	if line.Source != nil {
		source = *line.Source
	}
	s := plan.Step{
		Item: line.Item, Target: line.ObjectRef, Action: plan.Action(line.Action), Policy: plan.Policy(line.Policy), Order: line.Order,
		UID: line.UID, Terminating: line.Terminating, Reason: line.Reason, Warning: line.Warning, Unchecked: line.Unchecked, KeptVolume: line.KeptVolume,
	}
	if !s.Action.Known() {
		return s, coffer.Errorf(coffer.CodePlanChanged, "%s: there is no action %q", line.ObjectRef, line.Action)
	}
	if line.Item < 0 || line.Item >= len(r.items) || r.items[line.Item].ObjectRef != source {
		return s, coffer.Errorf(coffer.CodePlanChanged, "%s is not in the recovery point where the plan says", source)
	}
	if line.Version != "" {
		s.Type = coffer.ResourceType{GroupResource: line.GroupResource, Version: line.Version, Kind: line.Kind, Namespaced: line.Namespaced}
	}
	if line.Snapshot != "" {
		if s.Volume = volumes[source.Namespace+"/"+source.Name]; s.Volume == nil || s.Volume.Handle != line.Snapshot {
			return s, coffer.Errorf(coffer.CodePlanChanged, "the recovery point has no snapshot %s of %s", line.Snapshot, source)
		}
	}
	for _, o := range r.items[line.Item].Owners {
		if slices.Contains(line.Owners, o.UID) {
			s.Owners = append(s.Owners, o)
		}
	}
	return s, nil
}

// planCounts count a plan for the status.
func planCounts(p plan.Plan) v1alpha1.RestorePlanCounts {
	var c v1alpha1.RestorePlanCounts
	counters := map[plan.Action]*int{
		plan.Create: &c.Create, plan.RestoreVolume: &c.RestoreVolume, plan.Patch: &c.Patch, plan.Replace: &c.Replace,
		plan.Skip: &c.Skip, plan.Fail: &c.Fail,
	}
	for _, s := range p.Steps {
		if s.Existing() {
			c.Existing++
		} else {
			*counters[s.Action]++
		}
		if s.Unchecked != "" {
			c.Unchecked++
		}
	}
	for _, n := range p.NotSelected {
		c.NotSelected += int(n.Objects)
	}
	return c
}
