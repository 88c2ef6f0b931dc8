package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

const jobCollection = "backupJobs"

// Some of the states of jobs.
const (
	jobInProgress = "InProgress"
	jobFailed     = "Failed"
	jobCancelled  = "Cancelled"
)

// jobStatuses and jobOperations are the words that jobs can be looked for by.
func jobStatuses() []string {
	return []string{jobInProgress, "Completed", "CompletedWithWarnings", jobFailed, jobCancelled}
}

func jobOperations() []string {
	return []string{"OnDemandBackup", "ScheduledBackup", "Restore", "RestorePlan", "DeleteBackupData", "Tiering"}
}

// knownWords refuses what is looked for and nothing has: an empty list would say that all is well.
func knownWords(flag string, possible []string, given ...string) error {
	for _, word := range given {
		if word != "" && !slices.ContainsFunc(possible, func(p string) bool { return strings.EqualFold(p, word) }) {
			last := len(possible) - 1
			return usageError{fmt.Errorf("--%s %.80q is not known; use %s or %s", flag, word, strings.Join(possible[:last], ", "), possible[last])}
		}
	}
	return nil
}

// knownJobs refuses words that no job has.
func knownJobs(statuses, operations []string) error {
	return errors.Join(knownWords("status", jobStatuses(), statuses...), knownWords("operation", jobOperations(), operations...))
}

func (p *program) newJob() *cobra.Command {
	return p.onServer(group("job", "List, show, follow and cancel the jobs of a Backup vault: backups, restores, plans and deletions",
		p.newJobList(), p.newJobShow(), p.newJobWait(), p.newJobCancel(), p.newJobLogs(), p.newJobResults(), p.newJobGraph()))
}

func jobNoun() noun {
	return noun{
		name: "job", create: "coffer backup-instance adhoc-backup", fields: jobFields,
		heading: []string{"JOB", "OPERATION", "INSTANCE", "STATUS", "STARTED", "TOOK", "WARNINGS"}, row: jobRow,
	}
}

// jobView is a job as the server shows it.
type jobView struct {
	ID         catalogue.ID `json:"id"`
	Name       string       `json:"name"`
	Properties arm.Job      `json:"properties"`
}

// details are the job's extended info, which may be empty.
func (v jobView) details() arm.JobExtendedInfo {
	if v.Properties.ExtendedInfo == nil {
		return arm.JobExtendedInfo{}
	}
	return *v.Properties.ExtendedInfo
}

// final says whether nothing more becomes of the job.
func (v jobView) final() bool { return !v.Properties.Status.Is(jobInProgress) }

func (v jobView) succeeded() bool {
	return v.final() && !v.Properties.Status.Is(jobFailed) && !v.Properties.Status.Is(jobCancelled)
}

// state is the job's status, and while it goes on whether it is to end, and whether slots of its schedule were left out for it.
func (v jobView) state() string {
	state, details := string(v.Properties.Status), v.details().AdditionalDetails
	if v.final() {
		return state
	}
	if details["Cancelling"] != "" {
		state += ", cancelling"
	}
	if details["Overrun"] != "" {
		state += ", overrun"
	}
	return state
}

// overrun says which slot was left out last for the job, and of how many.
func (v jobView) overrun() string {
	details := v.details().AdditionalDetails
	if n, err := strconv.Atoi(details["Overruns"]); err == nil && n > 1 {
		return fmt.Sprintf("%s (%d of them so far)", details["Overrun"], n)
	}
	return details["Overrun"]
}

// took is how long the job took, or has taken.
func (v jobView) took() string {
	switch end := v.Properties.EndTime; {
	case v.Properties.StartTime.IsZero():
		return ""
	case end != nil:
		return duration.HumanDuration(end.Sub(v.Properties.StartTime))
	}
	return duration.HumanDuration(time.Since(v.Properties.StartTime))
}

// warnings is how many there are, also of those that the job does not tell; empty for none.
func (v jobView) warnings() string {
	d := v.details()
	if n := d.AdditionalDetails["Warnings"]; n != "" || len(d.WarningDetails) == 0 {
		return n
	}
	return strconv.Itoa(len(d.WarningDetails))
}

// progress says in one line how far a job is, from the counts that its details have by the names of the run's status.
func (v jobView) progress() string {
	counts := v.details().AdditionalDetails
	if total := counts["recoveryPointsTotal"]; total != "" {
		return fmt.Sprintf("%s of %s recovery points deleted", counts["recoveryPointsDeleted"], total)
	}
	if v.Properties.OperationCategory.Is("Restore") {
		return restoreProgress(decodeCounts[v1alpha1.RestoreProgress](counts))
	}
	return backupProgress(decodeCounts[v1alpha1.BackupProgress](counts))
}

// decodeCounts reads what is a number of a job's details into the progress that it was of. What cannot be read is left out: progress is
// for people to look at.
func decodeCounts[T any](details map[string]string) (progress T) {
	for name, text := range details {
		var number int64
		value := json.RawMessage(text)
		if json.Unmarshal(value, &number) != nil {
			quoted, err := json.Marshal(text)
			if err != nil {
				continue
			}
			value = quoted
		}
		// One by one, so that a field which is no count of this progress spoils none that is.
		one, err := json.Marshal(map[string]json.RawMessage{name: value})
		if err == nil {
			_ = json.Unmarshal(one, &progress) // Left out.
		}
	}
	return progress
}

func timeText(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func jobFields(text json.RawMessage) ([]field, error) {
	v, err := decodeAs[jobView](text)
	if err != nil {
		return nil, err
	}
	j, d := v.Properties, v.details()
	instance := catalogue.ID(j.BackupInstanceID).Name()
	fields := []field{
		{"Job", v.Name},
		{"Operation", string(j.Operation)},
		{"Backup instance", cmp.Or(instance, j.BackupInstanceFriendlyName)},
		{"Cluster", j.DataSourceID},
		{"Status", v.state()},
		{"Step", d.AdditionalDetails["Step"]},
		{"Progress", v.progress()},
		{"Waits", d.AdditionalDetails["Waiting"]},
		{"Overrun", v.overrun()},
		{"Scheduled for", d.AdditionalDetails["ScheduledFor"]},
		{"Started", timeText(&j.StartTime)},
		{"Completed", timeText(j.EndTime)},
		{"Took", v.took()},
		{"Policy", j.PolicyName},
		{"Rule", d.AdditionalDetails["PolicyRuleName"]},
		{"Retention tag", d.AdditionalDetails["RetentionTag"]},
		{"Recovery point", pointText(d.TargetRecoverPoint)},
		{"From recovery point", pointText(d.SourceRecoverPoint)},
		{"Restored to", d.RecoveryDestination},
		{"Run in the cluster", d.AdditionalDetails["RunName"]},
		{"Transferred", transferredText(d.DataTransferredInBytes)},
		{"Can be", strings.ToLower(strings.Join(j.SupportedActions, ", "))},
	}
	for _, t := range d.SubTasks {
		fields = append(fields, field{fmt.Sprintf("Step %d", t.TaskID), strings.TrimSpace(t.TaskName + " " + string(t.TaskStatus) + " " + t.TaskProgress)})
	}
	for _, w := range d.WarningDetails {
		fields = append(fields, field{"Warning", warningText(w)})
	}
	if n, err := strconv.Atoi(v.warnings()); err == nil && n > len(d.WarningDetails) {
		fields = append(fields, field{"Warnings in all", v.warnings()})
	}
	for _, e := range j.ErrorDetails {
		fields = append(fields, field{"Error", problemText(e)})
	}
	return append(fields, field{"ID", string(v.ID)}), nil
}

func pointText(p *arm.JobPoint) string {
	if p == nil {
		return ""
	}
	return strings.TrimSpace(p.RecoveryPointID + " " + timeText(p.RecoveryPointTime))
}

func transferredText(n *float64) string {
	if n == nil || *n <= 0 {
		return ""
	}
	return bytesText(int64(*n))
}

// problemText is an error of a job, with what to do.
func problemText(e arm.UserFacingError) string {
	text := e.Message
	if e.Code != "" {
		text = e.Code + ": " + text
	}
	// Messages of runs end with what to do.
	if todo := strings.Join(e.RecommendedAction, "; "); todo != "" && !strings.HasSuffix(text, todo) {
		text += "; what to do: " + todo
	}
	return oneLine(text)
}

func warningText(w arm.JobWarning) string {
	text := w.ResourceName
	if w.Warning != nil {
		text = strings.TrimPrefix(text+": "+problemText(*w.Warning), ": ")
	}
	return oneLine(text)
}

func jobRow(text json.RawMessage) ([]string, error) {
	v, err := decodeAs[jobView](text)
	j := v.Properties
	instance := cmp.Or(catalogue.ID(j.BackupInstanceID).Name(), j.BackupInstanceFriendlyName)
	return []string{v.Name, string(j.Operation), instance, v.state(), timeText(&j.StartTime), v.took(), v.warnings()}, err
}

// jobFlags name a job: by --job-id, or as the argument.
type jobFlags struct {
	scopeFlags
	name string
}

func (f *jobFlags) bind(p *program, cmd *cobra.Command) {
	f.bindVault(p, cmd)
	cmd.Flags().StringVar(&f.name, "job-id", "", "job, by its name or id; it may also be given without the flag")
	cmd.ValidArgsFunction = p.completeJobs
	mustComplete(cmd, "job-id", p.completeJobs)
	cmd.Args = func(cmd *cobra.Command, args []string) error { return named(cmd, args, "job", "job-id", &f.name) }
}

// named takes a name from a flag or from the one argument.
func named(cmd *cobra.Command, args []string, kind, flag string, name *string) error {
	switch {
	case len(args) > 1 || len(args) == 1 && *name != "":
		return usageError{fmt.Errorf("give one name of a %s: %s", kind, cmd.UseLine())}
	case len(args) == 1:
		*name = args[0]
	}
	if *name == "" {
		return usageError{fmt.Errorf("name the %s with --%s; `%s` shows them", kind, flag, listFor(cmd))}
	}
	return nil
}

func (p *program) completeJobs(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeBelowVault(cmd, "/"+jobCollection)
}

// jobID is the id of the job that is meant.
func (s session) jobID(ctx context.Context, f jobFlags) (string, error) {
	return s.childID(ctx, f.scopeFlags, "job-id", "/"+jobCollection, f.name)
}

// atJob is the server, and the id of the job that is meant there.
func (p *program) atJob(ctx context.Context, at jobFlags) (session, string, error) {
	return atServer(ctx, p, session.jobID, at)
}

func (p *program) newJobList() *cobra.Command {
	var at instanceFlags
	var status, operation, from, to string
	cmd := &cobra.Command{
		Use: "list", Short: "List the jobs of a Backup vault, newest first", Aliases: []string{"ls"}, Args: noArgs,
		Example: `  coffer job list -g shop -v shop-vault
  coffer job list --status Failed -n shop --start-time 2026-11-01`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if err := knownJobs([]string{status}, []string{operation}); err != nil {
				return err
			}
			s, vault, err := p.atVault(ctx, at.scopeFlags)
			if err != nil {
				return err
			}
			terms := []filterTerm{{"status", status}, {"operation", operation}, {"startTime", from}, {"endTime", to}}
			if at.name != "" {
				id, err := s.instanceID(ctx, at)
				if err != nil {
					return err
				}
				terms = append(terms, filterTerm{"backupInstanceId", id})
			}
			query, err := filter(terms...)
			if err != nil {
				return err
			}
			return p.list(ctx, s, jobNoun().such(query != ""), vault+"/"+jobCollection+query)
		},
	}
	at.bindVault(p, cmd)
	flags := cmd.Flags()
	at.bindOnly(p, cmd, "only jobs of this backup instance")
	flags.StringVar(&status, "status", "", "only jobs in this state: "+strings.Join(jobStatuses(), ", "))
	flags.StringVar(&operation, "operation", "", "only jobs of this kind: "+strings.Join(jobOperations(), ", "))
	flags.StringVar(&from, "start-time", "", "only jobs that began then or later, such as 2026-11-01 or 2026-11-01T08:00:00Z")
	flags.StringVar(&to, "end-time", "", "only jobs that began before")
	completeJobWords(cmd)
	return cmd
}

func completeJobWords(cmd *cobra.Command) {
	for flag, words := range map[string][]string{"status": jobStatuses(), "operation": jobOperations()} {
		mustComplete(cmd, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
}

// filterTerm is one condition of a list: the field has this value. An empty value is none.
type filterTerm struct{ field, value string }

// filter is the query of a list with conditions, empty if there are none.
func filter(terms ...filterTerm) (string, error) {
	var texts []string
	for _, t := range terms {
		if t.value == "" {
			continue
		}
		if strings.Contains(t.value, "'") {
			return "", usageError{fmt.Errorf("%.200q cannot be looked for: it has a quote", t.value)}
		}
		texts = append(texts, t.field+" eq '"+t.value+"'")
	}
	if len(texts) == 0 {
		return "", nil
	}
	return "?" + url.Values{"$filter": {strings.Join(texts, " and ")}}.Encode(), nil
}

func (p *program) newJobShow() *cobra.Command {
	var at jobFlags
	cmd := &cobra.Command{
		Use: "show JOB", Short: "Show a job, with its steps, warnings and errors",
		Example: "  coffer job show -g shop -v shop-vault 0b0f7f5e-1b35-4d5c-9d0a-6f5f5c1d9a70",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atJob(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.get(cmd.Context(), s, jobNoun(), id)
		},
	}
	at.bind(p, cmd)
	return cmd
}

func (p *program) newJobCancel() *cobra.Command {
	var at jobFlags
	var wait bool
	cmd := &cobra.Command{
		Use: "cancel JOB", Short: "Have a job end as soon as it can do so cleanly",
		Long: `Have a job end as soon as it can do so cleanly: a backup removes what it has made, and a restore leaves what is restored already.
A job that ends before it notices is not cancelled.`,
		Example: "  coffer job cancel -g shop -v shop-vault --wait 0b0f7f5e-1b35-4d5c-9d0a-6f5f5c1d9a70",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			s, id, err := p.atJob(ctx, at)
			if err != nil {
				return err
			}
			doing := "cancel job " + catalogue.ID(id).Name()
			told := newOperationLine(p, doing)
			_, err = s.Do(ctx, Call{Method: http.MethodPost, Path: id + "/cancel", Follow: true, Progress: told.show})
			told.end()
			if err != nil {
				return fmt.Errorf("%s: %w", doing, err)
			}
			if !wait {
				_, err := fmt.Fprintf(p.Err, "Job %s is to be cancelled; `%s` says when it has ended.\n", catalogue.ID(id).Name(), p.jobCommand("wait", id))
				return err
			}
			v, text, err := p.followJob(ctx, s, id)
			if err != nil {
				return err
			}
			if err := p.showOne(jobNoun(), text); err != nil || v.Properties.Status.Is(jobCancelled) {
				return err
			}
			return fmt.Errorf("job %s was not cancelled: it had ended, %s", v.Name, v.Properties.Status)
		},
	}
	at.bind(p, cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it has ended")
	return cmd
}

// jobCommand is a command line about a job, for a person to go on with.
func (p *program) jobCommand(verb, id string) string {
	at := catalogue.ID(id)
	args := []string{"coffer", "job", verb, at.Name()}
	return shellText(append(args, p.vaultArgs(at.Parent())...))
}

// vaultArgs are the flags that name a vault on a command line.
func (p *program) vaultArgs(vault catalogue.ID) []string {
	args := []string{"-g", groupName(vault), "-v", vault.Name()}
	if p.flags.profile != "" {
		args = append(args, "--profile", p.flags.profile)
	}
	if p.flags.subscription != "" {
		args = append(args, "--subscription", p.flags.subscription)
	}
	return args
}

func (p *program) newJobLogs() *cobra.Command {
	var at jobFlags
	cmd := &cobra.Command{
		Use: "logs JOB", Short: "Print what the cluster has done for a job, line by line",
		Example: "  coffer job logs -g shop -v shop-vault 0b0f7f5e-1b35-4d5c-9d0a-6f5f5c1d9a70",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atJob(cmd.Context(), at)
			if err != nil {
				return err
			}
			reply, err := s.Do(cmd.Context(), Call{Method: http.MethodGet, Path: question(id, "logs")})
			if err != nil {
				return err
			}
			log, err := decodeAs[struct {
				Value string `json:"value"`
			}](reply.Body)
			if err != nil {
				return err
			}
			if log.Value == "" {
				_, err = fmt.Fprintln(p.Err, "There is no log of this job: no Backup extension has picked it up, or it is not kept any more.")
				return err
			}
			_, err = fmt.Fprintln(p.Out, harmless(strings.TrimSuffix(log.Value, "\n")))
			return err
		},
	}
	at.bind(p, cmd)
	return cmd
}

// question is the path of a question about a job, a recovery point or an instance that Azure does not know.
func question(id, what string) string { return id + ownProvider + what }

func (p *program) newJobGraph() *cobra.Command {
	var cluster string
	var statuses, operations []string
	cmd := &cobra.Command{
		Use: "list-from-resourcegraph", Short: "List the jobs of all vaults", Args: noArgs,
		Example: "  coffer job list-from-resourcegraph --status Failed",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := knownJobs(statuses, operations); err != nil {
				return err
			}
			query := "RecoveryServicesResources | where type =~ 'microsoft.dataprotection/backupvaults/backupjobs'"
			for _, term := range []struct {
				flag, field string
				values      []string
			}{
				{"datasource-id", "properties.dataSourceId", []string{cluster}},
				{"status", "properties.status", statuses},
				{"operation", "properties.operation", operations},
			} {
				var err error
				if query, err = graphTerm(query, term.flag, term.field, term.values...); err != nil {
					return err
				}
			}
			return p.graph(cmd.Context(), jobNoun().such(cluster != "" || len(statuses)+len(operations) > 0), query+" | order by properties.startTime desc")
		},
	}
	cmd.Flags().StringVar(&cluster, "datasource-id", "", "only those of this cluster, by its id")
	cmd.Flags().StringSliceVar(&statuses, "status", nil, "only those in one of these states: "+strings.Join(jobStatuses(), ", "))
	cmd.Flags().StringSliceVar(&operations, "operation", nil, "only those of one of these kinds: "+strings.Join(jobOperations(), ", "))
	completeJobWords(cmd)
	return cmd
}

// startJob makes a request that begins a job, and answers the job's id.
func (p *program) startJob(ctx context.Context, s session, path string, body any, doing string) (string, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	told := newOperationLine(p, doing)
	reply, err := s.Do(ctx, Call{Method: http.MethodPost, Path: path, Body: text, Follow: true, Progress: told.show})
	told.end()
	if err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	// It is the result of the operation, or the operation with the result inside.
	begun, err := decodeAs[struct {
		arm.OperationJob
		Properties arm.OperationJob `json:"properties"`
	}](reply.Body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", doing, err)
	}
	id := cmp.Or(begun.JobID, begun.Properties.JobID)
	if id == "" {
		return "", fmt.Errorf("%s: %w", doing, errors.New("the server names no job for it; `coffer job list` shows what there is"))
	}
	return id, nil
}

// jobOf is the id of a job that is named by its id, or by its name in a vault.
func jobOf(vault catalogue.ID, job string) (string, error) {
	if strings.HasPrefix(job, "/") {
		return idOf("job-id", job, jobCollection)
	}
	if err := checkSegment("job-id", job); err != nil {
		return "", err
	}
	return string(vault) + "/" + jobCollection + "/" + job, nil
}

// began says that a job has begun, or waits for its end.
func (p *program) began(ctx context.Context, s session, vault catalogue.ID, job string, wait bool) error {
	id, err := jobOf(vault, job)
	if err != nil {
		return err
	}
	if wait {
		return p.waitJob(ctx, s, id)
	}
	body := arm.OperationJob{ObjectType: arm.TypeOperationJob, JobID: id}
	return p.render(body, func() error {
		return p.describe([]field{
			{"Job", catalogue.ID(id).Name()}, {"Follow it", p.jobCommand("wait", id)}, {"Cancel it", p.jobCommand("cancel", id)},
		})
	})
}

// newJobResults shows what a restore has made of each object.
func (p *program) newJobResults() *cobra.Command {
	var at jobFlags
	var failed bool
	cmd := &cobra.Command{
		Use: "report JOB", Short: "List each object of a restore, and what became of it",
		Example: "  coffer job report -g shop -v shop-vault --failed 0b0f7f5e-1b35-4d5c-9d0a-6f5f5c1d9a70",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atJob(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.printResults("job "+catalogue.ID(id).Name(), pagesOf[content.ReportItem](cmd.Context(), s, question(id, "report")), failed)
		},
	}
	at.bind(p, cmd)
	cmd.Flags().BoolVar(&failed, "failed", false, "list only what failed")
	return cmd
}
