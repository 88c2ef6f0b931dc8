package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/inbound/cli"
	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
)

const (
	vaultPath    = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/shop/providers/Microsoft.DataProtection/backupVaults/shop-vault"
	instancePath = vaultPath + "/backupInstances/shop"
	jobPath      = vaultPath + "/backupJobs/j1"
	clusterPath  = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/aks/providers/Microsoft.ContainerService/managedClusters/production"
)

// vaultServer speaks the protocol of a server of Backup vaults over TLS, with answers that a test gives: joined clusters are not needed
// to hold what the command line asks for and makes of the answers.
type vaultServer struct {
	*httptest.Server
	// terminal says that commands are run at one.
	terminal bool

	mu sync.Mutex // guards the rest
	// answers are by method and path; of several, the last is given again and again.
	answers map[string][]string
	// asked are the requests that came, with their bodies.
	asked  []string
	bodies map[string]string
	// heard is called, outside of the lock, once a request is answered.
	heard func(request string)
}

const instanceAnswer = `{"id":"` + instancePath + `","name":"shop","type":"Microsoft.DataProtection/backupVaults/backupInstances","tags":{"team":"shop"},"properties":{
	"objectType":"BackupInstance","friendlyName":"Shop","currentProtectionState":"ProtectionConfigured",
	"dataSourceInfo":{"objectType":"Datasource","datasourceType":"Microsoft.ContainerService/managedClusters","resourceID":"` + clusterPath + `"},
	"policyInfo":{"policyId":"` + vaultPath + `/backupPolicies/daily","policyParameters":{
		"dataStoreParametersList":[{"objectType":"AzureOperationalStoreParameters","dataStoreType":"OperationalStore","resourceGroupId":"/subscriptions/s/resourceGroups/snaps"}],
		"backupDatasourceParametersList":[{"objectType":"KubernetesClusterBackupDatasourceParameters","snapshotVolumes":true,"includeClusterScopeResources":true,
			"includedNamespaces":["shop"],"labelSelectors":["tier=front"],"coffer":{"allowEmpty":true}}]}}}}`

const policyAnswer = `{"id":"` + vaultPath + `/backupPolicies/daily","name":"daily","properties":{"objectType":"BackupPolicy","policyRules":[
	{"objectType":"AzureBackupRule","name":"BackupDaily","trigger":{"objectType":"ScheduleBasedTriggerContext","schedule":{"repeatingTimeIntervals":["R/2026-01-01T00:00:00Z/P1D"]}}},
	{"objectType":"AzureRetentionRule","name":"Default","isDefault":true}]}}`

// point is a recovery point as the server shows it.
func point(name, at string) string {
	return `{"id":"` + instancePath + `/recoveryPoints/` + name + `","name":"` + name + `","properties":{"objectType":"AzureBackupDiscreteRecoveryPoint","recoveryPointId":"` + name + `",
	"recoveryPointTime":"` + at + `","recoveryPointType":"Incremental","retentionTagName":"Default","recoveryPointState":"Completed","policyVersion":null,
	"recoveryPointDataStoresDetails":[{"id":"o","type":"OperationalStore","creationTime":"` + at + `","expiryTime":"2026-12-01T00:00:00Z","metaData":null,"visible":true,"state":"COMMITTED"}]}}`
}

// job is a job as the server shows it; more are properties.
func job(operation, category, status, more string) string {
	return `{"id":"` + jobPath + `","name":"j1","properties":{"activityID":"j1","backupInstanceId":"` + instancePath + `","backupInstanceFriendlyName":"Shop","dataSourceId":"` + clusterPath + `",
	"dataSourceType":"Microsoft.ContainerService/managedClusters","operation":"` + operation + `","operationCategory":"` + category + `","status":"` + status + `",
	"startTime":"2026-11-21T08:00:00Z","supportedActions":[],` + strings.TrimSuffix(more, ",") + `}}`
}

const began = `{"objectType":"OperationJobExtendedInfo","jobId":"` + jobPath + `"}`

func newVaultServer(t *testing.T, answers map[string][]string) *vaultServer {
	t.Helper()
	v := &vaultServer{answers: map[string][]string{}, bodies: map[string]string{}, heard: func(string) {}}
	for request, list := range answers {
		v.answers[request] = list
	}
	v.Server = httptest.NewTLSServer(v)
	t.Cleanup(v.Close)
	return v
}

// ServeHTTP implements http.Handler.
func (v *vaultServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	query := r.URL.Query()
	query.Del("api-version")
	if top := query.Get("$top"); r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/Coffer.Backup/") && top != "1000" && !strings.HasSuffix(r.URL.Path, "/logs") {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	query.Del("$top")
	request := r.Method + " " + r.URL.Path
	if len(query) > 0 {
		request += "?" + query.Encode()
	}
	answer := v.answer(request, string(body))
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Header.Get("Authorization") != "Bearer opaque" || r.URL.Query().Get("api-version") == "":
		w.WriteHeader(http.StatusUnauthorized)
	case answer == "":
		w.Header().Set("X-Ms-Correlation-Request-Id", "c-1")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"code":"ResourceNotFound","message":"there is no `+request+`"}}`) //nolint:gosec // No browser reads it.
	case answer == "away":
		w.WriteHeader(http.StatusBadGateway)
	case strings.HasPrefix(answer, `{"error"`):
		w.Header().Set("X-Ms-Correlation-Request-Id", "c-1")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, answer)
	case r.Method == http.MethodPost && !strings.HasSuffix(r.URL.Path, "/validateRestore") && !strings.HasSuffix(r.URL.Path, "/validateForBackup") &&
		!strings.HasSuffix(r.URL.Path, "/hold") && !strings.HasSuffix(r.URL.Path, "/releaseHold") || r.Method == http.MethodDelete:
		w.Header().Set("Azure-AsyncOperation", v.URL+"/operationStatus/1?api-version=2025-07-01")
		w.Header().Set("Location", v.URL+"/operationResults/1?api-version=2025-07-01")
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusAccepted)
		v.mu.Lock()
		v.answers["GET /operationResults/1"], v.answers["GET /operationStatus/1"] = []string{answer}, []string{`{"status":"Succeeded"}`}
		v.mu.Unlock()
	case answer == "gone":
		w.WriteHeader(http.StatusNoContent)
	default:
		_, _ = io.WriteString(w, answer)
	}
	v.heard(request)
}

func (v *vaultServer) answer(request, body string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked = append(v.asked, request)
	if body != "" {
		v.bodies[request] = body
	}
	list := v.answers[request]
	if len(list) == 0 {
		return ""
	}
	if len(list) > 1 {
		v.answers[request] = list[1:]
	}
	return strings.ReplaceAll(list[0], "SERVER", v.URL)
}

func (v *vaultServer) body(request string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.bodies[request]
}

func (v *vaultServer) times(request string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(v.asked), func(a string) bool { return a != request }))
}

// run runs a command against the server, as somebody who is logged in.
func (v *vaultServer) run(ctx context.Context, t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	store := profile.Store{Dir: t.TempDir()}
	err := store.Save(profile.Profile{
		Name: "default", URL: v.URL, CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.Certificate().Raw})),
		Token:    &profile.Token{Text: "opaque", Expires: time.Now().Add(time.Hour)},
		Defaults: profile.Defaults{SubscriptionID: "11111111-1111-1111-1111-111111111111", ResourceGroup: "shop", VaultName: "shop-vault"},
	})
	if err == nil {
		err = store.Use("default")
	}
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = cli.Run(ctx, cli.Config{Out: &out, Err: &errs, In: strings.NewReader(""), Profiles: store, ServerFunc: newServer, PollInterval: time.Millisecond, Terminal: v.terminal}, args)
	return out.String(), errs.String(), code
}

// mustHave fails for each text that another lacks.
func mustHave(t *testing.T, what, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %q:\n%s", what, want, text)
		}
	}
}

const captured = `"extendedInfo":{"additionalDetails":{"Step":"CapturingObjects","objects":"900","bytes":"1048576","volumesTotal":"2","volumesCut":"2","volumesReady":"1","volumesSkipped":"0"}},`

func TestABackupIsFollowedToItsEnd(t *testing.T) {
	const warned = `"endTime":"2026-11-21T08:01:00Z","extendedInfo":{"targetRecoverPoint":{"recoveryPointID":"j1","recoveryPointTime":"2026-11-21T08:00:10Z"},
		"additionalDetails":{"Step":"CleaningUp","PolicyRuleName":"BackupDaily","Warnings":"7"},
		"warningDetails":[{"resourceName":"shop/data","warning":{"code":"UserErrorPVCNotBoundToVolume","message":"the claim is not bound","recommendedAction":["bind it"]}}]}`
	const failed = `"endTime":"2026-11-21T08:01:00Z","errorDetails":[{"code":"UserErrorBackupStorageLocationNotReady","message":"the container cannot be written","recommendedAction":["see coffer storage-location list"]}]`
	for _, tt := range []struct {
		name   string
		args   []string
		jobs   []string
		code   int
		stdout []string
		stderr []string
	}{
		{
			"with warnings", []string{"--wait"},
			[]string{job("OnDemandBackup", "Backup", "InProgress", captured), job("OnDemandBackup", "Backup", "CompletedWithWarnings", warned)}, 0,
			[]string{"Status:", "CompletedWithWarnings", "j1 2026-11-21T08:00:10Z", "Took:", "60s", "shop/data: UserErrorPVCNotBoundToVolume: the claim is not bound; what to do: bind it", "Warnings in all:  7"},
			[]string{"InProgress CapturingObjects", "volumes 2 cut, 1 ready of 2; 900 objects, 1.0 MiB"},
		},
		{
			"as JSON, the warnings are told as well", []string{"--wait", "-o", "json"}, []string{job("OnDemandBackup", "Backup", "CompletedWithWarnings", warned)}, 0,
			[]string{`"status": "CompletedWithWarnings"`}, []string{"warning: shop/data: UserErrorPVCNotBoundToVolume"},
		},
		{
			"failed", []string{"--wait"}, []string{job("OnDemandBackup", "Backup", "Failed", failed)}, 1,
			[]string{"Failed"}, []string{"coffer: job j1: Failed\n  UserErrorBackupStorageLocationNotReady: the container cannot be written; what to do: see coffer storage-location list"},
		},
		{"cancelled", []string{"--wait"}, []string{job("OnDemandBackup", "Backup", "Cancelled", `"endTime":"2026-11-21T08:01:00Z"`)}, 1, nil, []string{"job j1: Cancelled"}},
		{
			"while its cluster is away", []string{"--wait"}, []string{
				job("OnDemandBackup", "Backup", "InProgress", `"extendedInfo":{"additionalDetails":{"Waiting":"the cluster is not connected"}}`),
				job("OnDemandBackup", "Backup", "Completed", `"endTime":"2026-11-21T08:01:00Z"`),
			}, 0, nil, []string{"InProgress waits: the cluster is not connected"},
		},
		{"without waiting", nil, nil, 0, []string{"Job:", "j1", "coffer job wait j1 -g shop -v shop-vault", "coffer job cancel j1"}, nil},
		{"without waiting, as az", []string{"-o", "json"}, nil, 0, []string{`"jobId": "` + jobPath + `"`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVaultServer(t, map[string][]string{
				"GET " + instancePath: {instanceAnswer}, "GET " + vaultPath + "/backupPolicies/daily": {policyAnswer},
				"POST " + instancePath + "/backup": {began}, "GET " + jobPath: tt.jobs,
			})
			stdout, stderr, code := v.run(t.Context(), t, append([]string{"backup-instance", "adhoc-backup", "-n", "shop", "--retention-tag-override", "Weekly"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d:\n%s%s", code, tt.code, stdout, stderr)
			}
			mustHave(t, "stdout", stdout, tt.stdout...)
			mustHave(t, "stderr", stderr, tt.stderr...)
			const want = `{"backupRuleOptions":{"ruleName":"BackupDaily","triggerOption":{"retentionTagOverride":"Weekly"}}}`
			if got := v.body("POST " + instancePath + "/backup"); got != want {
				t.Errorf("asked for %s, want %s", got, want)
			}
		})
	}
}

func TestWhatAnotherPolicyDoesIsShownBefore(t *testing.T) {
	ask := "POST " + instancePath + "/providers/Coffer.Backup/previewChange"
	v := newVaultServer(t, map[string][]string{ask: {`{"recoveryPoints":[{"instance":"` + instancePath + `","name":"p1","time":"2026-11-20T02:00:00Z","expiry":"2026-12-20T02:00:00Z",
		"deleted":true,"reason":"expires: its time was up"}],"kept":3,"changed":0,"deleted":1}`}})
	stdout, stderr, code := v.run(t.Context(), t, "backup-instance", "preview-change", "-n", "shop", "--policy-name", "hourly")
	if code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	mustHave(t, "stdout", stdout, "BACKUP INSTANCE", "shop ", "p1 ", "2026-12-20T02:00:00Z", "deleted ", "expires: its time was up",
		"3 recovery points stay as they are, 0 are kept for another time, 1 are deleted.")
	if got, want := v.body(ask), `{"policyId":"`+vaultPath+`/backupPolicies/hourly"}`; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	for _, args := range [][]string{nil, {"--policy-name", "a", "--policy-id", "b"}, {"--policy-name", "a/b"}} {
		if _, stderr, code := v.run(t.Context(), t, append([]string{"backup-instance", "preview-change", "-n", "shop"}, args...)...); code != 2 || !strings.Contains(stderr, "--policy-name") {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
}

func TestAServerThatIsRestartedDoesNotEndTheWaiting(t *testing.T) {
	v := newVaultServer(t, map[string][]string{"GET " + jobPath: {
		job("Restore", "Restore", "InProgress", `"extendedInfo":{}`), "away", "away", "away", "away", "away", "away",
		job("Restore", "Restore", "Completed", `"endTime":"2026-11-21T08:01:00Z"`),
	}})
	_, stderr, code := v.run(t.Context(), t, "job", "wait", "j1")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, "stderr", stderr, "the server does not answer, and is asked again")
	if strings.Count(stderr, "does not answer") != 1 {
		t.Errorf("it is said more than once:\n%s", stderr)
	}
}

func TestWhoStopsWaitingLeavesTheJob(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	v := newVaultServer(t, map[string][]string{"GET " + jobPath: {job("Restore", "Restore", "InProgress", `"extendedInfo":{}`)}})
	v.heard = func(string) { stop() }
	_, stderr, code := v.run(ctx, t, "job", "watch", jobPath)
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, "stderr", stderr, "stopped waiting; the job goes on. Follow it with `coffer job wait j1 -g shop -v shop-vault`, or end it with `coffer job cancel j1 ")
	for _, asked := range v.asked {
		if !strings.HasPrefix(asked, "GET ") {
			t.Errorf("it asked for %s", asked)
		}
	}
}

func TestAJobIsCancelled(t *testing.T) {
	for status, want := range map[string]int{"Cancelled": 0, "Completed": 1} {
		v := newVaultServer(t, map[string][]string{
			"POST " + jobPath + "/cancel": {"gone"}, "GET " + jobPath: {job("Restore", "Restore", status, `"endTime":"2026-11-21T08:01:00Z"`)},
		})
		if _, stderr, code := v.run(t.Context(), t, "job", "cancel", "j1", "--wait"); code != want {
			t.Errorf("a job that is %s: exit code %d\n%s", status, code, stderr)
		}
	}
	v := newVaultServer(t, map[string][]string{"POST " + jobPath + "/cancel": {"gone"}})
	_, stderr, code := v.run(t.Context(), t, "job", "cancel", "--job-id", "j1")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, "stderr", stderr, "Job j1 is to be cancelled; `coffer job wait j1 ")
}

func TestJobsAreListedByWhatIsAskedFor(t *testing.T) {
	filter := "?%24filter=status+eq+%27Failed%27+and+startTime+eq+%272026-11-01%27+and+backupInstanceId+eq+%27" + strings.ReplaceAll(instancePath, "/", "%2F") + "%27"
	v := newVaultServer(t, map[string][]string{
		"GET " + vaultPath + "/backupJobs" + filter:        {`{"value":[` + job("OnDemandBackup", "Backup", "Failed", `"endTime":"2026-11-21T08:01:00Z"`) + `]}`},
		"GET " + jobPath + "/providers/Coffer.Backup/logs": {`{"value":"one\ntwo \u001b[2J\n"}`},
		"GET " + jobPath + "/providers/Coffer.Backup/report": {`{"value":[{"head":{"counts":{"failed":1}}},{"result":{"resource":"pods","namespace":"a","name":"b","result":"created"}},
			{"result":{"resource":"services","namespace":"a","name":"c","result":"failed","code":"X","reason":"no"}}]}`},
	})
	stdout, stderr, code := v.run(t.Context(), t, "job", "list", "--status", "Failed", "--instance", "shop", "--start-time", "2026-11-01")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	mustHave(t, "the list", stdout, "j1    OnDemandBackup   shop       Failed   2026-11-21T08:00:00Z   60s")
	if stdout, _, _ := v.run(t.Context(), t, "job", "logs", "j1"); stdout != "one\ntwo \\x1b[2J\n" {
		t.Errorf("log %q", stdout)
	}
	stdout, _, _ = v.run(t.Context(), t, "job", "report", "j1", "--failed")
	mustHave(t, "the report", stdout, "failed   services   a           c      X      no")
	if strings.Contains(stdout, "pods") {
		t.Errorf("what did not fail is listed:\n%s", stdout)
	}
}

func TestAnInstanceIsMadeAsItIsDescribed(t *testing.T) {
	clusters := "GET /subscriptions/11111111-1111-1111-1111-111111111111/providers/Microsoft.ContainerService/managedClusters"
	put := "PUT " + vaultPath + "/backupInstances/production"
	v := newVaultServer(t, map[string][]string{
		clusters: {`{"value":[{"id":"/x/other","name":"other"},{"id":"` + clusterPath + `","name":"Production"}]}`},
		put:      {instanceAnswer},
	})
	stdout, stderr, code := v.run(t.Context(), t, "instance", "create", "--cluster", "production", "--policy-name", "daily", "--included-namespaces", "shop", "--tags", "a=b")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	mustHave(t, "what is printed", stdout, "Name:", "shop", "Policy:", "daily", "ProtectionConfigured")
	var sent struct {
		Properties struct {
			DataSourceInfo, DataSourceSetInfo struct{ ObjectType, ResourceID string }
			PolicyInfo                        struct {
				PolicyID         string `json:"policyId"`
				PolicyParameters struct {
					DataStoreParametersList        []struct{ ResourceGroupID string }
					BackupDatasourceParametersList []struct{ IncludedNamespaces []string }
				}
			}
		}
		Tags map[string]string
	}
	if err := json.Unmarshal([]byte(v.body(put)), &sent); err != nil {
		t.Fatal(err)
	}
	p := sent.Properties
	if p.DataSourceInfo.ResourceID != clusterPath || p.DataSourceSetInfo.ResourceID != clusterPath || p.DataSourceSetInfo.ObjectType != "DatasourceSet" ||
		p.PolicyInfo.PolicyID != vaultPath+"/backupPolicies/daily" || p.PolicyInfo.PolicyParameters.DataStoreParametersList[0].ResourceGroupID != "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/aks" ||
		p.PolicyInfo.PolicyParameters.BackupDatasourceParametersList[0].IncludedNamespaces[0] != "shop" || sent.Tags["a"] != "b" {
		t.Errorf("sent %s", v.body(put))
	}
	v = newVaultServer(t, map[string][]string{clusters: {`{"value":[{"id":"` + clusterPath + `","name":"production"},{"id":"` + clusterPath + `2","name":"production"}]}`}})
	_, stderr, code = v.run(t.Context(), t, "instance", "create", "--cluster", "production", "--policy-name", "daily")
	if code != 2 {
		t.Errorf("two clusters of a name: exit code %d", code)
	}
	mustHave(t, "stderr", stderr, `2 clusters of the subscription are called "production"`)
}

func TestAnUpdateChangesWhatIsGiven(t *testing.T) {
	patch, validate := "PATCH "+instancePath, "POST "+instancePath+"/validateForModifyBackup"
	v := newVaultServer(t, map[string][]string{"GET " + instancePath: {instanceAnswer}, patch: {instanceAnswer}, validate: {`{"objectType":"OperationJobExtendedInfo"}`}})
	for _, tt := range []struct {
		request, verb, want string
		args                []string
	}{
		{patch, "update", `{"properties":{"policyInfo":{"policyId":"` + vaultPath + `/backupPolicies/hourly"}}}`, []string{"--policy-name", "hourly"}},
		{patch, "update", `{"tags":{"a":"b","team":null}}`, []string{"--tags", "a=b,team"}},
		{patch, "update", `{"properties":{"policyInfo":{"policyParameters":{"backupDatasourceParametersList":[{"objectType":"KubernetesClusterBackupDatasourceParameters",` +
			`"snapshotVolumes":true,"includeClusterScopeResources":false,"includedNamespaces":["shop","orders"],"labelSelectors":["tier=front"],` +
			`"coffer":{"onlyNeededClusterScopeResources":true,"allowEmpty":true}}]}}}}`, []string{"--included-namespaces", "shop,orders", "--include-cluster-scope-resources", "needed"}},
		{validate, "validate-for-update", `"snapshotVolumes":false,"includeClusterScopeResources":true,"includedNamespaces":["shop"],"labelSelectors":["tier=front"]`, []string{"--snapshot-volumes=false"}},
	} {
		_, stderr, code := v.run(t.Context(), t, append([]string{"backup-instance", tt.verb, "-n", "shop"}, tt.args...)...)
		if got := v.body(tt.request); code != 0 || tt.request == patch && got != tt.want || !strings.Contains(got, tt.want) {
			t.Errorf("%s %q: exit code %d, sent %s, want %s\n%s", tt.verb, tt.args, code, got, tt.want, stderr)
		}
	}
}

func TestADeletionSaysWhatGoes(t *testing.T) {
	softVault := strings.TrimSuffix(vaultPath, "shop-vault") + "soft-vault"
	softPath := softVault + "/backupInstances/shop"
	settings := func(state string) string {
		return `{"properties":{"securitySettings":{"softDeleteSettings":{"state":"` + state + `","retentionDurationInDays":14}}}}`
	}
	points := `{"value":[` + point("p1", "2026-11-20T00:00:00Z") + `,` + point("p2", "2026-11-21T00:00:00Z") + `]}`
	for _, tt := range []struct {
		args    []string
		request string
		says    string
	}{
		{nil, "DELETE " + instancePath, "Its recovery points (2) and their snapshots are deleted with it, for good."},
		{[]string{"-v", "soft-vault"}, "DELETE " + softPath, "It can be had again for 14 days, and its recovery points (2) and their snapshots stay until then."},
		{[]string{"--retain-data"}, "DELETE " + instancePath + "?retainData=true", "Its recovery points (2) stay in the blob container, and the vault forgets them."},
	} {
		v := newVaultServer(t, map[string][]string{
			"GET " + instancePath + "/recoveryPoints": {points}, "GET " + softPath + "/recoveryPoints": {points}, tt.request: {"gone"},
			"GET " + vaultPath: {settings("Off")}, "GET " + softVault: {settings("On")},
			"GET " + softVault + "/deletedBackupInstances/shop": {`{"name":"shop","properties":{"deletionInfo":{"scheduledPurgeTime":"2026-12-05T08:00:00Z"}}}`},
		})
		_, stderr, code := v.run(t.Context(), t, append([]string{"backup-instance", "delete", "-n", "shop"}, tt.args...)...)
		if code != 2 || v.times(tt.request) != 0 {
			t.Errorf("without a yes: exit code %d", code)
		}
		mustHave(t, "the question", stderr, "Delete backup instance shop? "+tt.says+" Say so with --yes")
		_, stderr, code = v.run(t.Context(), t, append([]string{"backup-instance", "delete", "-n", "shop", "--yes"}, tt.args...)...)
		if code != 0 || v.times(tt.request) != 1 {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
		mustHave(t, "stderr", stderr, tt.says, "Backup instance shop is deleted.")
		if again := "deleted-backup-instance undelete -g shop -v soft-vault -n shop"; strings.Contains(stderr, again) != strings.HasPrefix(tt.says, "It can") {
			t.Errorf("%q: %s", tt.args, stderr)
		}
	}
}

func TestAValidationShowsEachCheck(t *testing.T) {
	request := "POST " + vaultPath + "/validateForBackup"
	v := newVaultServer(t, map[string][]string{request: {
		`{"objectType":"OperationJobExtendedInfo","properties":{"coffer":{"checks":[{"name":"SnapshotClass","status":"Warning","resource":"disk.csi.azure.com","message":"no resource group","remedy":"set it"}]}}}`,
		`{"error":{"code":"UserErrorX","message":"the cluster cannot be backed up","details":[{"code":"Y","target":"StorageLocation","message":"is not writable; see its credentials"}]}}`,
	}})
	args := []string{"backup-instance", "validate-for-backup", "-n", "shop", "--cluster", clusterPath, "--policy-name", "daily"}
	stdout, stderr, code := v.run(t.Context(), t, args...)
	if code != 0 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	mustHave(t, "stdout", stdout, "SnapshotClass   Warning   disk.csi.azure.com   no resource group\n", "SnapshotClass: no resource group\n  set it\n")
	_, stderr, code = v.run(t.Context(), t, args...)
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, "stderr", stderr, "validate backup instance shop: ", "StorageLocation is not writable; see its credentials")
	mustHave(t, "what is asked", v.body(request), `{"backupInstance":{"objectType":"BackupInstance"`)
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func pages(of string, lists ...string) map[string][]string {
	answers := map[string][]string{}
	for i, list := range lists {
		at, next := of, ""
		if i > 0 {
			at = fmt.Sprintf("%s?%%24skipToken=%d", of, i)
		}
		if i < len(lists)-1 {
			next = fmt.Sprintf(`,"nextLink":"SERVER%s?api-version=2025-07-01&$top=1000&$skipToken=%d"`, strings.TrimPrefix(of, "GET "), i+1)
		}
		answers[at] = []string{`{"value":[` + list + `]` + next + `}`}
	}
	return answers
}

func TestProgressIsOneLineOnATerminal(t *testing.T) {
	v := newVaultServer(t, map[string][]string{"GET " + jobPath: {
		job("OnDemandBackup", "Backup", "InProgress", captured), "away", "away", "away", job("OnDemandBackup", "Backup", "Completed", `"endTime":"2026-11-21T08:01:00Z"`),
	}})
	v.terminal = true
	_, stderr, code := v.run(t.Context(), t, "job", "wait", "j1")
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if code != 0 || len(lines) != 3 {
		t.Fatalf("exit code %d, %d lines: %q", code, len(lines), lines)
	}
	for i, want := range []string{"\r\x1b[K", "the server does not answer", "\r\x1b[K"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d is %q", i+1, lines[i])
		}
	}
	mustHave(t, "the last line", lines[2], "Completed")
}
