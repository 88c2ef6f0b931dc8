package job

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// VaultLabel says on a run object which vault has made it: its identity.
const VaultLabel = v1alpha1.Group + "/vault"

// Run is a run object as its cluster tells of it. All its texts are bounded, and are otherwise what the cluster wants them to be.
type Run struct {
	Name, UID string
	// Vault is the identity of the vault that made it, or empty.
	Vault string
	// Cancel says that it is told to end.
	Cancel bool
	// Phase is one of the known ones, or empty.
	Phase                 v1alpha1.RunPhase
	Step, Reason, Message string
	// Created is when the API server kept it. Started and Completed are zero until then.
	Created, Started, Completed time.Time
	Warnings                    []v1alpha1.Warning
	WarningCount                int
	// Counts are those of its progress, by their names in its status.
	Counts map[string]int64
	// TimeLeft is about how long the rest takes, and zero where that is not known.
	TimeLeft time.Duration
	// Digests are those that name what it has made, by their names in jobs.
	Digests map[string]string
	// Checks are those of a validation.
	Checks []Check
}

// Check is one thing that a validation has looked at.
type Check struct {
	Name string `json:"name"`
	// Status is Passed, Failed, Warning or Skipped.
	Status   string `json:"status"`
	Code     string `json:"code,omitempty"`
	Resource string `json:"resource,omitempty"`
	Message  string `json:"message,omitempty"`
	Remedy   string `json:"remedy,omitempty"`
}

// Bounds of what is taken over from a cluster, in bytes and in number.
const (
	maxWord    = 128
	maxName    = 512
	maxMessage = 4096
	// maxWarning is how long the message of one of 50 warnings may be: lists have hundreds of jobs.
	maxWarning = 1000
	maxChecks  = 100
	maxCounts  = 40
	maxCount   = int64(1) << 53
	maxLeft    = 1000 * time.Hour
)

// object is what is read of a run object.
type object struct {
	Metadata struct {
		Name              string            `json:"name"`
		UID               string            `json:"uid"`
		Labels            map[string]string `json:"labels"`
		CreationTimestamp time.Time         `json:"creationTimestamp"`
	} `json:"metadata"`
	Spec struct {
		Cancel bool `json:"cancel"`
	} `json:"spec"`
	Status struct {
		Phase          string                     `json:"phase"`
		Step           string                     `json:"step"`
		Reason         string                     `json:"reason"`
		Message        string                     `json:"message"`
		StartTime      time.Time                  `json:"startTime"`
		CompletionTime time.Time                  `json:"completionTime"`
		WarningCount   int                        `json:"warningCount"`
		Warnings       []v1alpha1.Warning         `json:"warnings"`
		Progress       map[string]json.RawMessage `json:"progress"`
		ManifestDigest string                     `json:"manifestDigest"`
		Plan           struct {
			Digest string `json:"digest"`
		} `json:"plan"`
		Report struct {
			Digest string `json:"digest"`
		} `json:"report"`
		Checks []Check `json:"checks"`
	} `json:"status"`
}

// ReadRun reads a run object as an API server answers it.
func ReadRun(text []byte) (Run, error) {
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return Run{}, coffer.Errorf(coffer.CodeServerError, "the cluster's answer is not a run object: %s", Text(err.Error(), maxName))
	}
	if o.Metadata.UID == "" {
		return Run{}, coffer.Errorf(coffer.CodeServerError, "the cluster's answer is not a run object: it has no metadata.uid")
	}
	r := Run{
		Name: Text(o.Metadata.Name, maxName), UID: Text(o.Metadata.UID, maxWord), Vault: Text(o.Metadata.Labels[VaultLabel], maxWord),
		Cancel: o.Spec.Cancel, Phase: phase(o.Status.Phase), Step: word(o.Status.Step), Reason: word(o.Status.Reason),
		Message: Text(o.Status.Message, maxMessage), Created: o.Metadata.CreationTimestamp, Started: o.Status.StartTime,
		Completed: o.Status.CompletionTime, WarningCount: min(max(o.Status.WarningCount, 0), 1<<31-1),
		Counts: map[string]int64{}, Digests: map[string]string{},
	}
	for _, w := range o.Status.Warnings[:min(len(o.Status.Warnings), v1alpha1.MaxWarnings)] {
		r.Warnings = append(r.Warnings, v1alpha1.Warning{Code: word(w.Code), Resource: Text(w.Resource, maxWord), Message: Text(w.Message, maxWarning)})
	}
	for _, c := range o.Status.Checks[:min(len(o.Status.Checks), maxChecks)] {
		r.Checks = append(r.Checks, Check{
			Name: Text(c.Name, maxName), Status: word(c.Status), Code: word(c.Code), Resource: Text(c.Resource, maxName),
			Message: Text(c.Message, maxMessage), Remedy: Text(c.Remedy, maxMessage),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(o.Status.Progress)) {
		var n int64
		if len(r.Counts) < maxCounts && countName.MatchString(name) && json.Unmarshal(o.Status.Progress[name], &n) == nil && n >= 0 {
			r.Counts[name] = min(n, maxCount)
		}
	}
	var left string
	if json.Unmarshal(o.Status.Progress["timeLeft"], &left) == nil {
		if d, err := time.ParseDuration(left); err == nil {
			r.TimeLeft = min(max(d, 0), maxLeft)
		}
	}
	for name, digest := range map[string]string{
		"ManifestDigest": o.Status.ManifestDigest, "PlanDigest": o.Status.Plan.Digest, "ReportDigest": o.Status.Report.Digest,
	} {
		if digestForm.MatchString(digest) {
			r.Digests[name] = digest
		}
	}
	return r, nil
}

var (
	// What the server itself says in a job's details begins with a large letter.
	countName  = regexp.MustCompile(`^[a-z][a-zA-Z]{0,39}$`)
	wordForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// phase is a known phase. Any other is one that has not ended.
func phase(text string) v1alpha1.RunPhase {
	switch p := v1alpha1.RunPhase(text); p {
	case "", v1alpha1.RunCompleted, v1alpha1.RunCompletedWithWarnings, v1alpha1.RunFailed, v1alpha1.RunCancelled:
		return p
	}
	return v1alpha1.RunInProgress
}

// word is a code or the name of a step, or empty where it is no such word.
func word(text string) string {
	if len(text) > maxWord || !wordForm.MatchString(text) {
		return ""
	}
	return text
}

// Text is a text of a cluster as it can be shown: at most so many bytes of UTF-8, without control characters.
func Text(text string, most int) string {
	cut := len(text) > most
	if cut {
		text = text[:most]
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if cut {
		text += "..."
	}
	return text
}
