package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/instance"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

// Source is what the extension of a cluster is asked of, in the name of a vault.
type Source struct {
	Vault, Cluster catalogue.ID
	// Identity is who the vault is there.
	Identity string
	// Location and Backup name a recovery point, and Run and Kind the run of a job.
	Location, Backup string
	Run              string
	Kind             job.Kind
}

// SourceOfPoint is where a recovery point is read.
func (j *Jobs) SourceOfPoint(ctx context.Context, id catalogue.ID, name string) (Source, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) (Source, error) {
		point, err := v.Point(ctx, id, strings.ToLower(name))
		if err != nil {
			return Source{}, err
		}
		if !inCluster(point) {
			return Source{}, coffer.Errorf(coffer.CodeBackupNotFound, "the operational tier has let go of the recovery point %s: it is in the %s, and its contents are not shown from there", point.Name, arm.VaultStore).
				WithHint("ask for one that is in the %s: coffer recovery-point list", arm.OperationalStore)
		}
		source, err := sourceOf(ctx, v, id)
		source.Location, source.Backup = instance.DefaultLocation, point.Name
		return source, err
	})
}

// sourceOf is the cluster that an instance protects.
func sourceOf(ctx context.Context, v catalogue.View, id catalogue.ID) (Source, error) {
	r, err := v.Resource(ctx, id)
	if err != nil {
		return Source{}, err
	}
	location, _, err := vaultSettings(ctx, v, id.Parent())
	if err != nil {
		return Source{}, err
	}
	c, err := configurationOf(r, location)
	if err != nil {
		return Source{}, err
	}
	return sourceIn(ctx, v, id.Parent(), c.Cluster)
}

func sourceIn(ctx context.Context, v catalogue.View, vault, cluster catalogue.ID) (Source, error) {
	r, err := v.Resource(ctx, vault)
	if err != nil {
		return Source{}, err
	}
	if err := mustBeReady(ctx, v, cluster, vault); err != nil {
		return Source{}, err
	}
	return Source{Vault: r.ID, Cluster: cluster, Identity: catalogue.VaultIdentity(r.ID, r.Created.At)}, nil
}

// SourceOfJob is where the run of a job is read, which has to be of one of some kinds.
func (j *Jobs) SourceOfJob(ctx context.Context, vault catalogue.ID, name string, kinds ...job.Kind) (Source, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) (Source, error) {
		kept, err := v.Job(ctx, vault, strings.ToLower(name))
		if err != nil {
			return Source{}, err
		}
		state, err := job.Read(kept)
		if err != nil {
			return Source{}, err
		}
		switch kind := state.Work.Kind(); {
		case !slices.Contains(kinds, kind):
			return Source{}, coffer.Errorf(coffer.CodeInvalidInput, "the job %s is a %s, which has none", kept.Name, kept.Operation)
		case state.Work.UID == "" && state.Ended():
			return Source{}, coffer.Errorf(coffer.CodeRestoreNotFound, "the job %s has ended before it began in its cluster: there is nothing to read of it", kept.Name).
				WithHint("see why: coffer job show")
		case state.Work.UID == "":
			return Source{}, coffer.Errorf(coffer.CodeRestoreNotFound, "the job %s has not begun in its cluster", kept.Name).WithHint("wait until it has")
		}
		source, err := sourceIn(ctx, v, vault, kept.Cluster)
		source.Run, source.Kind = kept.Name, state.Work.Kind()
		return source, err
	})
}

// SourceOfTarget is where the restore of a job is read for what it would find in its target. The caller has to be allowed to read that
// cluster, as for the restore itself: it is not the recovery point alone that is shown.
func (j *Jobs) SourceOfTarget(ctx context.Context, by Caller, vault catalogue.ID, name string) (Source, error) {
	source, err := j.SourceOfJob(ctx, vault, name, job.Restore)
	if err != nil {
		return Source{}, err
	}
	return source, j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		return mayReadLinked(ctx, v, Proposal{ID: vault, By: by}, typeVault, source.Cluster)
	})
}

// SourceOfCluster is a cluster in the name of a vault. The caller has to be allowed to read it.
func (j *Jobs) SourceOfCluster(ctx context.Context, by Caller, vault, cluster catalogue.ID) (Source, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) (Source, error) {
		if err := mayReadLinked(ctx, v, Proposal{ID: vault, By: by}, typeVault, cluster); err != nil {
			return Source{}, err
		}
		return sourceIn(ctx, v, vault, cluster)
	})
}

// Bounds of what is read of a cluster's answer, in bytes. A line that has an object in it is as long as that.
const (
	maxContentLine = 18 << 20
	maxPlainLine   = 1 << 20
	maxPageBytes   = 8 << 20
)

// Cut is a part of an answer of many items.
type Cut struct {
	// Skip is how many items are before it, and Limit how many it has at most.
	Skip, Limit int
	// Objects says that items have whole objects in them.
	Objects bool
}

// errEnough ends the reading of an answer.
var errEnough = errors.New("the page is full")

// readFunc reads the items of an answer, as content.Read does.
type readFunc[T any] func(r io.Reader, each func(T) error) error

// ReadPart asks the extension of a cluster, and answers a part of the items; more says that there are others after it.
func ReadPart[T any](ctx context.Context, j *Jobs, s Source, at *url.URL, cut Cut, read readFunc[T]) (items []T, more bool, err error) {
	longest := maxPlainLine
	if cut.Objects {
		longest = maxContentLine
	}
	seen, size := 0, int64(0)
	err = readEach(ctx, j, s, at, longest, read, func(item T, lines *bounded) error {
		seen++
		switch {
		case seen <= cut.Skip:
			size = lines.read
			return nil
		case len(items) >= cut.Limit, len(items) > 0 && lines.read-size > maxPageBytes:
			more = true
			return errEnough
		}
		items = append(items, item)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, false, err
	}
	return items, more, nil
}

// readEach asks the extension of a cluster, and calls each for all items of the answer, with what was read up to there. Only when readEach answers nil
// was that the whole answer. Errors of each are answered as they are.
func readEach[T any](ctx context.Context, j *Jobs, s Source, at *url.URL, longest int, read readFunc[T], each func(item T, lines *bounded) error) error {
	session, err := j.session(ctx, s.Cluster)
	if err != nil {
		return err
	}
	asked, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://cluster", http.NoBody)
	if err != nil {
		return err
	}
	asked.URL.Path, asked.URL.RawPath, asked.URL.RawQuery = at.Path, at.RawPath, at.RawQuery
	answer, err := session.Content(s.Identity).RoundTrip(asked)
	if err != nil {
		return unreadContent(s, err)
	}
	defer func() { _ = answer.Body.Close() }()
	lines := &bounded{from: answer.Body, longest: longest}
	var own error
	err = read(lines, func(item T) error {
		own = each(item, lines)
		return own
	})
	switch {
	case own != nil:
		return own
	case err != nil:
		return contentError(s, answer.StatusCode, err)
	}
	return nil
}

// bounded refuses an answer with a line that is longer than any can be.
type bounded struct {
	from    io.Reader
	longest int
	line    int
	read    int64
}

// errLongLine is of an answer that nobody gives who means well.
var errLongLine = errors.New("a line of the answer is too long")

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.read += int64(n)
	if last := bytes.LastIndexByte(p[:n], '\n'); last >= 0 {
		b.line = n - last - 1
	} else {
		b.line += n
	}
	if b.line > b.longest {
		return n, errLongLine
	}
	return n, err
}

// ContentError is what an extension says of why it does not answer.
type ContentError interface {
	error
	// Said is its code, its message and what to do.
	Said() (code, message, hint string)
}

// tellable are the codes of an extension that an answer may have.
var tellable = []coffer.Code{
	coffer.CodeInvalid, coffer.CodeBackupNotFound, coffer.CodeLocationNotFound, coffer.CodeLocationNotReady, coffer.CodeRestoreNotFound,
	coffer.CodePlanNotStored, coffer.CodeReportNotStored, coffer.CodePlanChanged, coffer.CodeModifierNotFound, coffer.CodeArchiveCorrupt,
	coffer.CodeSignerNotTrusted, coffer.CodeSigningKeyUnusable, coffer.CodeEncryptionKeysUnusable, coffer.CodeDecryptionKeyMissing, coffer.CodeBusy,
	coffer.CodeNothingMatches, coffer.CodeNotFound,
}

// contentError is the error of an answer that is none.
func contentError(s Source, status int, err error) error {
	const most = 2000
	said, ok := errors.AsType[ContentError](err)
	switch {
	case ok:
		code, message, hint := said.Said()
		if status == http.StatusForbidden {
			code = string(coffer.CodeTrustedAccessMissing)
		} else if !slices.Contains(tellable, coffer.Code(code)) {
			code = string(coffer.CodeServerError)
		}
		told := coffer.Errorf(coffer.Code(code), "the cluster %s: %s", s.Cluster.Name(), job.Text(message, most))
		told.Hint, told.Transient = job.Text(hint, most), coffer.Code(code) == coffer.CodeBusy
		return told
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return coffer.Errorf(coffer.CodeTrustedAccessMissing, "the cluster %s does not let the vault %s in", s.Cluster.Name(), s.Vault.Name()).
			WithHint("its owner approves the trusted access by the command that the trusted access role binding shows")
	case status == http.StatusNotFound:
		return coffer.Errorf(coffer.CodeExtensionNotFound, "the Backup extension of %s does not know the question", s.Cluster.Name()).
			WithHint("install it in the version of this server: coffer cluster join")
	}
	return unreadContent(s, err)
}

// unreadContent is the error of an answer that did not arrive.
func unreadContent(s Source, err error) error {
	if coded, ok := errors.AsType[*coffer.Error](err); ok {
		return coded
	}
	var syntax *json.SyntaxError
	if errors.Is(err, errLongLine) || errors.As(err, &syntax) {
		return coffer.Errorf(coffer.CodeServerError, "the cluster %s gives no answer that can be read", s.Cluster.Name())
	}
	return &coffer.Error{
		Code: coffer.CodeClusterNotReachable, Message: "the cluster " + s.Cluster.Name() + " did not answer to the end: " + job.Text(err.Error(), 300),
		Hint: "try again", Transient: true,
	}
}
