package flow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
	"github.com/coffer-backup/coffer/internal/format/archive"
)

// ContentsRequest says which objects of which recovery point somebody wants to see.
type ContentsRequest struct {
	StorageLocation, BackupName string
	// Namespace, Type and Name select; empty is any. Type is spelled as in includedResourceTypes.
	Namespace, Type, Name string
	// Bodies says that the objects themselves are wanted, and not only what there is.
	Bodies bool
}

// ContentsItem is one object of a recovery point.
type ContentsItem struct {
	coffer.ObjectRef
	// Size of its JSON in bytes.
	Size int64
	// Body is its JSON as it stands in the archive, if bodies were asked for.
	Body []byte
}

// Reader reads recovery points, and what restores have stored, for people. Its methods may be called concurrently.
type Reader struct {
	config Config
	// verifying is held while an index is verified: of each of its entries, 16 bytes are kept meanwhile.
	verifying chan struct{}
	// comparing is held while a plan is compared with the cluster: that takes the memory that the restore takes.
	comparing chan struct{}
}

// NewReader makes a Reader; of the configuration, it uses Cluster, Snapshots for their names, Settings and Namespace.
func NewReader(c Config) *Reader {
	// Runs have logs of their own, and what is read is no part of any.
	c.Log = nil
	return &Reader{config: c.withDefaults(), verifying: make(chan struct{}, 1), comparing: make(chan struct{}, 1)}
}

// Contents calls each for every object of a recovery point that is asked for, in the archive's order and by one goroutine
// at a time; each may take its time. A recovery point that a restore would refuse is refused with the same error, before
// anything is told of it where its signed index says so, and otherwise in the middle: what each was told is to be believed
// once Contents returns nil. A type that neither the recovery point nor the cluster knows is an Error with CodeInvalid; that
// nothing matches is none. Errors of each end the reading and are returned.
//
// What is held does not grow with the recovery point, but by some 40 bytes for each of its objects. Of the archive, the members
// are read that hold what is asked for; of a backup of Velero's, everything, and twice.
func (r *Reader) Contents(ctx context.Context, q ContentsRequest, each func(ContentsItem) error) error {
	if err := q.check(); err != nil {
		return err
	}
	c := &contents{point: newPoint(q.BackupName, r.config.Namespace, ""), ContentsRequest: q, cluster: r.config.Cluster, verifying: r.verifying}
	defer c.close()
	if err := c.openLocation(ctx, r.config.Settings, q.StorageLocation); err != nil {
		return err
	}
	return c.read(ctx, func(o ContentsItem) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return each(o)
	})
}

// check refuses what cannot be the name of anything: these become keys of blobs.
func (q ContentsRequest) check() error {
	for _, named := range []struct{ what, name string }{{"recovery point", q.BackupName}, {"storage location", q.StorageLocation}} {
		if problems := validation.IsDNS1123Subdomain(named.name); len(problems) > 0 {
			return coffer.Errorf(coffer.CodeInvalid, "%q cannot be the name of a %s: %s", named.name, named.what, problems[0])
		}
	}
	if q.Type == "" {
		return nil
	}
	return selection.CheckSpelling("kind", q.Type)
}

// contents is one reading of a recovery point.
type contents struct {
	point
	ContentsRequest
	cluster   coffer.Cluster
	verifying chan struct{}

	// present are the types that the recovery point has objects of, and chosen those of them that are asked for; nil is all.
	present, chosen map[coffer.GroupResource]bool
}

// maxTypes bounds the types of a recovery point; clusters have some hundred.
const maxTypes = 20_000

// sees notes the type of an object.
func (c *contents) sees(ref coffer.ObjectRef) error {
	if c.present[ref.GroupResource] {
		return nil
	}
	if len(c.present) == maxTypes {
		return coffer.Errorf(coffer.CodeArchiveCorrupt, "recovery point %s is refused: it has objects of more than %d types", c.name, maxTypes)
	}
	c.present[ref.GroupResource] = true
	return nil
}

// wants says whether an object is asked for. It is to be asked once choose was called.
func (c *contents) wants(ref coffer.ObjectRef) bool {
	return (c.Namespace == "" || ref.Namespace == c.Namespace) && (c.Name == "" || ref.Name == c.Name) &&
		(c.chosen == nil || c.chosen[ref.GroupResource])
}

// choose finds the types that are asked for. Their kinds, which no index has, the cluster knows.
func (c *contents) choose(ctx context.Context) error {
	if c.Type == "" {
		return nil
	}
	served, _, err := c.cluster.Types(ctx)
	if err != nil {
		return err
	}
	known := make(map[coffer.GroupResource]coffer.ResourceType, len(served))
	for _, t := range served {
		known[t.GroupResource] = t
	}
	types := make([]coffer.ResourceType, 0, len(c.present))
	for g := range c.present {
		t, ok := known[g]
		if !ok {
			t = coffer.ResourceType{GroupResource: g}
		}
		types = append(types, t)
	}
	found, near, err := selection.FindTypes("kind", c.Type, types)
	if err != nil {
		return err
	}
	c.chosen = make(map[coffer.GroupResource]bool, len(found))
	for _, g := range found {
		c.chosen[g] = true
	}
	if len(found) > 0 {
		return nil
	}
	elsewhere, nearElsewhere, err := selection.FindTypes("kind", c.Type, served)
	if err != nil || len(elsewhere) > 0 {
		return err
	}
	return c.unknownType(append(near, nearElsewhere...))
}

func (c *contents) unknownType(near []string) error {
	slices.Sort(near)
	near = slices.Compact(near)
	err := coffer.Errorf(coffer.CodeInvalid, "neither recovery point %s nor the cluster has a resource type %q", c.name, c.Type)
	if len(near) > 0 {
		return err.WithHint("did you mean %s?", strings.Join(near, " or "))
	}
	present := slices.Sorted(maps.Keys(c.typeNames()))
	const shown = 10
	more := ""
	if len(present) > shown {
		more = fmt.Sprintf(" and %d more", len(present)-shown)
	}
	return err.WithHint("the recovery point has %s%s", strings.Join(present[:min(shown, len(present))], ", "), more)
}

func (c *contents) typeNames() map[string]bool {
	names := make(map[string]bool, len(c.present))
	for g := range c.present {
		names[g.String()] = true
	}
	return names
}

func itemOf(o archive.Object) ContentsItem {
	return ContentsItem{ObjectRef: o.ObjectRef, Size: int64(len(o.Body)), Body: o.Body}
}
