// Package orphan decides what in a cluster and its storage location belongs to a vault and to no recovery point of its catalogue. Whatever is in
// doubt is no orphan: what is not shown cannot be removed by mistake.
package orphan

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Kind says what was found.
type Kind string

// The kinds.
const (
	// Archive is a whole recovery point in the storage location, with its snapshots, that the catalogue does not have.
	Archive Kind = "Archive"
	// Remains are blobs of a backup that never sealed a recovery point and is not under way, with its snapshots if it has left any.
	Remains Kind = "Remains"
	// Snapshots are those of such a backup of which no blob is there.
	Snapshots Kind = "Snapshots"
	// RecoveryPoint is one of the catalogue whose archive is not there.
	RecoveryPoint Kind = "RecoveryPoint"
)

// Found is what a cluster says of a name.
type Found struct {
	Name string
	// Sealed says that a manifest is there, and Blobs, Bytes and Modified how much there is under the name; no Blobs is none.
	Sealed   bool
	Blobs    int
	Bytes    int64
	Modified time.Time
	// Backup is the Backup object of that name; nil is none.
	Backup *Backup
	// Left are snapshots that a Backup of that name has left whose object is gone, so many, and LeftBy its UID.
	Left   int
	LeftBy string
	// ReadOnly says that the cluster may not delete in the storage location.
	ReadOnly bool
}

// Backup is a Backup object.
type Backup struct {
	UID string `json:"uid"`
	// Vault is the identity of the vault that made it; empty if it was somebody else.
	Vault string `json:"vault"`
	// Final says that its run has ended.
	Final bool `json:"final"`
}

// Known is what a vault knows of a name.
type Known struct {
	// Identity is who the vault is in the cluster.
	Identity string
	// Point says that it is a recovery point of the catalogue, of an instance that is there or that can be had again, and Deletion that it is
	// to be deleted already.
	Point, Deletion bool
	// Job is the backup of that name; nil is none.
	Job *Job
	// Immutable says that the vault's recovery points are not deleted before their time.
	Immutable bool
}

// Job is a backup that the vault has begun.
type Job struct {
	// Here says that it was begun in the cluster that is asked, and Ended that it goes on no more, as Status says.
	Here, Ended bool
	Status      string
	// Run is the UID of its Backup object, if that was ever seen.
	Run string
	// Instance is the name of its backup instance, and Gone says that there is no such instance any more.
	Instance string
	Gone     bool
}

// Orphan is what was found to be one.
type Orphan struct {
	ID     string
	Kind   Kind
	Reason string
	// Run is the UID of the Backup that made it, if it is known.
	Run string
	// Kept is why it is not removed; empty if it can be.
	Kept string
}

// Judge says whether what a cluster has under a name is an orphan of a vault.
//
//	a recovery point, or one that is to be deleted    no: it is known
//	a Backup object of another vault, or a person's   no: it is theirs
//	a Backup object that is under way, or its job     no: it will be known
//	neither a Backup object nor a job of this vault   no: nobody knows whose it is
func Judge(f Found, k Known) (o Orphan, found bool) {
	b, j := f.Backup, k.Job
	if !unowned(b, k) {
		return o, false
	}
	switch {
	case b != nil:
		o.Run = b.UID
	case j.Run != "":
		o.Run = j.Run
	}
	switch {
	case f.Sealed:
		o.Kind, o.Reason = Archive, whyUnknown(j)
	case f.Blobs > 0:
		o.Kind, o.Reason = Remains, "a backup that made no recovery point has left it"
	case f.Left > 0 && f.LeftBy == o.Run:
		o.Kind, o.Reason = Snapshots, "a backup that made no recovery point has left them, and its Backup object is gone"
	default:
		return o, false
	}
	switch {
	case f.ReadOnly && f.Blobs > 0:
		o.Kept = "the storage location is read-only in this cluster, or another cluster writes there"
	case k.Immutable && o.Kind == Archive:
		o.Kept = "the vault is immutable, and until when this recovery point was to be kept is not known"
	}
	o.ID = string(o.Kind) + "/" + f.Name + "/" + f.mark(o.Run)
	return o, true
}

// unowned says that nothing has or awaits what is found, and that it is this vault's to say so.
func unowned(b *Backup, k Known) bool {
	switch j := k.Job; {
	case k.Point, k.Deletion:
		return false
	case j != nil && (!j.Ended || !j.Here):
		return false
	case b != nil:
		return b.Vault == k.Identity && k.Identity != "" && b.Final
	default:
		return j != nil
	}
}

// whyUnknown is why the catalogue does not have a whole recovery point.
func whyUnknown(j *Job) string {
	switch {
	case j == nil:
		return "this vault made it, and its catalogue does not know the job: it may be older than the recovery point"
	case j.Status != "Completed" && j.Status != "CompletedWithWarnings":
		return fmt.Sprintf("its job ended as %s before the vault knew of the recovery point", j.Status)
	case j.Gone:
		return fmt.Sprintf("the backup instance %s was deleted, and its recovery points were left where they are", j.Instance)
	}
	return "it was in the catalogue, and its deletion was given up"
}

// mark is another one once anything about what was found is.
func (f Found) mark(run string) string {
	return coffer.ShortHash(fmt.Sprint(f.Sealed, f.Blobs, f.Bytes, f.Modified.UnixMicro(), f.Left, run))[:8]
}

// Missing is a recovery point of the catalogue whose archive its cluster does not have.
type Missing struct {
	Instance, Name string
	// Held says that it is under legal hold, and Expires is when it may be deleted; zero is never.
	Held    bool
	Expires time.Time
	// Elsewhere says that it is in another tier as well.
	Elsewhere bool
	// Read is the job that reads it now; empty is none.
	Read      string
	Immutable bool
	Now       time.Time
}

// JudgeMissing is a recovery point without an archive, and what keeps it in the catalogue all the same.
func JudgeMissing(m Missing) Orphan {
	o := Orphan{
		Kind: RecoveryPoint, ID: string(RecoveryPoint) + "/" + m.Name + "/" + m.Instance,
		Reason: "its archive is not in the storage location: it was deleted there, or the storage location was moved",
	}
	switch {
	case m.Held:
		o.Kept = "it is under legal hold"
	case m.Immutable && (m.Expires.IsZero() || m.Expires.After(m.Now)):
		o.Kept = "the vault is immutable, and its time is not up"
	case m.Elsewhere:
		o.Kept = "it is in the vault tier as well"
	case m.Read != "":
		o.Kept = m.Read + " reads it"
	}
	return o
}

// Named is what an ID says.
type Named struct {
	Kind Kind
	// Name is that of the recovery point, and Rest the mark, or the instance of a RecoveryPoint.
	Name, Rest string
}

// ParseID reads an ID.
func ParseID(id string) (n Named, err error) {
	words := strings.Split(id, "/")
	if len(words) == 3 && words[1] != "" && words[2] != "" && len(id) <= 600 {
		n = Named{Kind: Kind(words[0]), Name: words[1], Rest: words[2]}
		switch n.Kind {
		case Archive, Remains, Snapshots, RecoveryPoint:
			return n, nil
		}
	}
	return n, coffer.Errorf(coffer.CodeInvalidInput, "%.100q is no id of an orphan", id).WithHint("name orphans as `coffer backup-vault orphans` lists them")
}

var runForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// IsRun says whether a UID is one by which an extension can be told of a run.
func IsRun(uid string) bool { return runForm.MatchString(uid) }
