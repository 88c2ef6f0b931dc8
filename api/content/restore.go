package content

import (
	"net/http"
	"net/url"
	"time"
)

// The paths of what is known of a Restore, as http.ServeMux reads them. Its parameters are those of Restore.
const (
	PlanPattern   = "/v1/restores/{name}/plan"
	ReportPattern = "/v1/restores/{name}/report"
	DiffPattern   = "/v1/restores/{name}/diff"
)

// Plan asks for the stored plan of a Restore.
type Plan struct{ Restore string }

// Report asks for the stored report of a Restore.
type Report struct{ Restore string }

// URL is the path and the query.
func (p Plan) URL() *url.URL { return restoreURL(p.Restore, "plan", nil) }

// URL is the path and the query.
func (r Report) URL() *url.URL { return restoreURL(r.Restore, "report", nil) }

// Diff asks for what a Restore with a stored plan would write.
type Diff struct {
	Restore string
	// Namespace, Type and Name select, by what the objects are called in the cluster; empty is any. Type is spelled as in
	// includedResourceTypes of a Restore.
	Namespace, Type, Name string
	// Secrets asks for the values of Secrets.
	Secrets bool
}

// URL is the path and the query.
func (d Diff) URL() *url.URL {
	query := url.Values{}
	for name, value := range map[string]string{paramNamespace: d.Namespace, paramType: d.Type, paramName: d.Name} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if d.Secrets {
		query.Set(ParamSecrets, "true")
	}
	return restoreURL(d.Restore, "diff", query)
}

func restoreURL(name, what string, query url.Values) *url.URL {
	return &url.URL{
		Path: "/v1/restores/" + name + "/" + what, RawPath: "/v1/restores/" + url.PathEscape(name) + "/" + what, RawQuery: query.Encode(),
	}
}

// ReadPlan reads what URL wrote, of a request that PlanPattern has matched. It has no parameters.
func ReadPlan(r *http.Request) (Plan, error) {
	return Plan{r.PathValue("name")}, readQuery(r, nil, nil)
}

// ReadReport reads what URL wrote, of a request that ReportPattern has matched. It has no parameters.
func ReadReport(r *http.Request) (Report, error) {
	return Report{r.PathValue("name")}, readQuery(r, nil, nil)
}

// ReadDiff reads what URL wrote, of a request that DiffPattern has matched.
func ReadDiff(r *http.Request) (Diff, error) {
	d := Diff{Restore: r.PathValue("name")}
	err := readQuery(r, map[string]*string{paramNamespace: &d.Namespace, paramType: &d.Type, paramName: &d.Name}, map[string]*bool{ParamSecrets: &d.Secrets})
	return d, err
}

// Object names an object.
type Object struct {
	Group     string `json:"group,omitempty"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Type is RESOURCE.GROUP, or RESOURCE in the core group.
func (o Object) Type() string {
	if o.Group == "" {
		return o.Resource
	}
	return o.Resource + "." + o.Group
}

// PlanItem is one line of a plan: first its head, then steps in the order in which they are done.
type PlanItem struct {
	Head *PlanHead `json:"head,omitempty"`
	Step *PlanStep `json:"step,omitempty"`
}

// PlanHead is what a plan is of.
type PlanHead struct {
	// Digest names the plan. It was compared once the answer is complete.
	Digest string `json:"digest"`
	// Backup is the recovery point, and ManifestDigest says which one bore the name.
	Backup         string `json:"backup"`
	ManifestDigest string `json:"manifestDigest"`
	// Changes are what else is done to the objects and after them, by the field of the Restore that asks for it.
	Changes map[string]string `json:"changes,omitempty"`
	// Namespaces of the cluster that are written to.
	Namespaces []string `json:"namespaces,omitempty"`
	// NotSelected counts the objects of the recovery point that nobody has asked for.
	NotSelected []NotSelected `json:"notSelected,omitempty"`
}

// NotSelected counts objects that are left out for one reason.
type NotSelected struct {
	What    string `json:"what"`
	Reason  string `json:"reason"`
	Objects int64  `json:"objects"`
}

// PlanStep is what a restore does with one object.
type PlanStep struct {
	Object
	// Source is its name in the recovery point, if that is another.
	Source *Object `json:"source,omitempty"`
	// APIVersion and Kind at which it is written; empty if its definition is restored before it.
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	// Action is create, restore volume, patch, replace, skip or fail.
	Action string `json:"action"`
	// Policy is what becomes of an object that turns out to exist.
	Policy string `json:"policy,omitempty"`
	// Order of the step: lower ones are done first, equal ones at the same time.
	Order int `json:"order"`
	// UID of the object that exists.
	UID    string `json:"uid,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Warning is the code of the reason, if it is something to act on.
	Warning string `json:"warning,omitempty"`
	// Unchecked is why it is not known whether the object exists or would be accepted.
	Unchecked string `json:"unchecked,omitempty"`
	// Snapshot is the one that the claim's volume is made of.
	Snapshot string `json:"snapshot,omitempty"`
}

// ReportItem is one line of a report: first its head, then what became of each object.
type ReportItem struct {
	Head   *ReportHead   `json:"head,omitempty"`
	Result *ReportResult `json:"result,omitempty"`
}

// ReportHead is what a report is of.
type ReportHead struct {
	Restore        string    `json:"restore"`
	Backup         string    `json:"backup"`
	ManifestDigest string    `json:"manifestDigest"`
	PlanDigest     string    `json:"planDigest"`
	Started        time.Time `json:"started"`
	Completed      time.Time `json:"completed"`
	// Counts of the objects by result.
	Counts map[string]int `json:"counts"`
}

// ReportResult is what became of one object.
type ReportResult struct {
	Object
	// Result is created, patched, replaced, existing, skipped, failed or pending.
	Result string `json:"result"`
	Reason string `json:"reason,omitempty"`
	// Code of the reason, if it is something to act on.
	Code string `json:"code,omitempty"`
}

// DiffItem is what would become of one object. Items come in no order; Step is there to sort them by.
type DiffItem struct {
	// Step is the object's position in the plan.
	Step int `json:"step"`
	Object
	// Source is its name in the recovery point, if that is another.
	Source *Object `json:"source,omitempty"`
	Action string  `json:"action"`
	Reason string  `json:"reason,omitempty"`
	// Unchecked is why the API server was not asked what it would make of the object.
	Unchecked string `json:"unchecked,omitempty"`
	// Refused is why the API server would not take the object.
	Refused *Error   `json:"refused,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	// Changes are a unified diff of YAML, from the object in the cluster to what it would be; empty if nothing changes.
	Changes string `json:"changes,omitempty"`
	// FromBackup is one from the object in the recovery point to what it would be: what does not come back as it was.
	FromBackup string `json:"fromBackup,omitempty"`
}
