//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/test/shop"
)

// vaulted is a Backup vault of the lab's server, which the clusters have joined. The journeys of a process share it.
type vaulted struct {
	// config is the folder of the login, and group the id of the resource group that all of it is in.
	config, group string
}

const (
	vaultGroup, vaultName = "e2e", "e2e-vault"
	// The clusters' names at the server.
	firstCluster, secondCluster = "first", "second"
)

var joined struct {
	made, clusters sync.Once
	world          *vaulted
	// all says that the clusters have joined.
	all bool
}

// newVault makes the vault that the journeys of a process share, by the command line.
func newVault(t *testing.T) *vaulted {
	t.Helper()
	joined.made.Do(func() {
		config, err := os.MkdirTemp("", "coffer-e2e-")
		if err != nil {
			t.Fatal(err)
		}
		v := &vaulted{config: config}
		v.must(t, "login", "--credentials", os.Getenv("COFFER_SERVICE_VAULT_CREDENTIALS"))
		v.must(t, "profile", "set", "--resource-group", vaultGroup, "--vault-name", vaultName)
		v.group = strings.TrimSpace(v.must(t, "resource-group", "create", "--name", vaultGroup, "--location", "westeurope", "--query", "id"))
		v.must(t, "backup-vault", "create", "--storage-setting", "[{type:LocallyRedundant,datastore-type:VaultStore}]", "--soft-delete-state", "Off")
		v.mustHavePolicy(t, vaultName, "nightly")
		joined.world = v
	})
	if joined.world == nil {
		t.Fatal("the vault could not be set up: see the first test that needed it")
	}
	return joined.world
}

// joinedVault is the vault, which the clusters have joined and let in.
func joinedVault(t *testing.T) *vaulted {
	t.Helper()
	v := newVault(t)
	joined.clusters.Do(func() {
		v.join(t, lab, firstCluster)
		all := map[string]labCluster{firstCluster: lab}
		if second.client != nil {
			if err := second.install("storageLocation.readOnly=true"); err != nil {
				t.Fatal(err)
			}
			v.join(t, second, secondCluster)
			all[secondCluster] = second
		}
		for name, c := range all {
			if err := shop.DeployHooks(t.Context(), c.client); err != nil {
				t.Fatal(err)
			}
			v.mustBind(t, "e2e", name, vaultName)
			v.must(t, "trusted-access", "rolebinding", "approve", "--name", "e2e", "--cluster-name", name, "--yes", "--kubeconfig", c.kubeconfig)
		}
		joined.all = true
	})
	if !joined.all {
		t.Fatal("the clusters could not join: see the first test that needed it")
	}
	return v
}

// mustLeave lets a cluster of the lab leave under whichever id it has joined. The next journey that needs it there joins it again.
func (v *vaulted) mustLeave(t *testing.T, c labCluster) {
	t.Helper()
	var all []struct {
		ID         string
		Properties struct{ Coffer clusterState }
	}
	v.decode(t, &all, "cluster", "list")
	uid := c.uid(t)
	for _, one := range all {
		if one.Properties.Coffer.ClusterUID == uid {
			v.must(t, "cluster", "leave", one.ID, "--yes", "--kubeconfig", c.kubeconfig)
		}
	}
	joined.clusters, joined.all = sync.Once{}, false
}

// join lets a cluster of the lab join, as its owner does. What is joined already stays so.
func (v *vaulted) join(t *testing.T, c labCluster, name string, flags ...string) {
	t.Helper()
	v.must(t, append([]string{
		"cluster", "join", name, "--location", "westeurope", "--kubeconfig", c.kubeconfig, "--image", c.extension, "--set", "image.pullPolicy=Never", "--timeout", "5m",
	}, flags...)...)
}

// mustHavePolicy makes a policy of a vault that backs up nothing by itself for long.
func (v *vaulted) mustHavePolicy(t *testing.T, vault, name string) {
	t.Helper()
	policy := v.policyText(t, "R/2190-01-01T00:00:00+00:00/PT4H", "P7D")
	v.mustRead(t, policy, "backup-policy", "create", "-v", vault, "--backup-policy-name", name, "--policy", "-")
}

// policyText is a policy with an interval and a retention.
func (v *vaulted) policyText(t *testing.T, interval, retention string) string {
	t.Helper()
	policy := v.must(t, "backup-policy", "get-default-policy-template", "--datasource-type", "AzureKubernetesService", "-o", "json")
	for from, to := range map[string]string{"R/2023-01-04T09:00:00+00:00/PT4H": interval, `"P7D"`: `"` + retention + `"`} {
		if !strings.Contains(policy, from) {
			t.Fatalf("the template of policies has no %s: %s", from, policy)
		}
		policy = strings.ReplaceAll(policy, from, to)
	}
	return policy
}

// mustBind asks for trusted access of a vault to a cluster.
func (v *vaulted) mustBind(t *testing.T, binding, cluster, vault string) {
	t.Helper()
	v.must(t, "trusted-access", "rolebinding", "create", "--name", binding, "--cluster-name", cluster, "--source-resource-id", v.vaultID(vault))
}

// bindingState is a binding of trusted access as the server shows it.
type bindingState struct {
	State, Message, Command, Identity, Namespace, VaultsNamespace string
}

// check has the cluster asked whether it lets a vault in.
func (v *vaulted) check(t *testing.T, binding, cluster string) bindingState {
	t.Helper()
	var shown struct {
		Properties struct{ Coffer bindingState }
	}
	v.decode(t, &shown, "trusted-access", "rolebinding", "check", "--name", binding, "--cluster-name", cluster)
	return shown.Properties.Coffer
}

// bindCommand is the form of the command that approves trusted access.
var bindCommand = regexp.MustCompile(`^kubectl -n (\S+) create rolebinding (\S+) --clusterrole=(\S+) --serviceaccount=([^\s:]+):(\S+)$`)

// mustApprove runs a kubectl command, or does what it says where there is no kubectl.
func (c *labCluster) mustApprove(t *testing.T, command string) {
	t.Helper()
	words := bindCommand.FindStringSubmatch(command)
	if words == nil {
		t.Fatalf("the command that approves trusted access is %q", command)
	}
	t.Cleanup(func() {
		made := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: words[1], Name: words[2]}}
		_ = c.client.Delete(context.Background(), made)
	})
	if kubectl, err := exec.LookPath("kubectl"); err == nil {
		cmd := exec.CommandContext(t.Context(), kubectl, strings.Fields(command)[1:]...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
		if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(string(out), "already exists") {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		c.awaitAccess(t, words[4], words[5], listBackups(words[1]), true)
		return
	}
	err := c.client.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: words[1], Name: words[2]},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: words[3]},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: words[4], Name: words[5]}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.awaitAccess(t, words[4], words[5], listBackups(words[1]), true)
}

// listBackups is what every vault with trusted access may do in the namespace of an extension.
func listBackups(ns string) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{Namespace: ns, Verb: "list", Group: v1alpha1.GroupVersion.Group, Resource: "backups"}
}

// awaitAccess waits until a ServiceAccount may do something, or may no longer: the API server knows of a role or a binding a moment after it
// was written.
func (c *labCluster) awaitAccess(t *testing.T, ns, name string, what authorizationv1.ResourceAttributes, may bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("whether %s/%s may %s %s is %t", ns, name, what.Verb, what.Resource, may), time.Minute, func(ctx context.Context) (bool, error) {
		allowed, err := c.allows(ctx, ns, name, what)
		return allowed == may, err
	})
}

// allows says whether a ServiceAccount may do something.
func (c *labCluster) allows(ctx context.Context, ns, name string, what authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "system:serviceaccount:" + ns + ":" + name, ResourceAttributes: &what}}
	err := c.client.Create(ctx, review)
	return review.Status.Allowed, err
}

func (v *vaulted) vaultID(name string) string {
	return v.group + "/providers/Microsoft.DataProtection/backupVaults/" + name
}

func (v *vaulted) clusterID(name string) string {
	return v.group + "/providers/Microsoft.ContainerService/managedClusters/" + name
}

// exec runs the command line as somebody who is logged in to the server, also while a test cleans up.
func (v *vaulted) exec(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, lab.coffer, args...)
	cmd.Env = append(os.Environ(), "COFFER_CONFIG_DIR="+v.config)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("coffer %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs the command line and fails the test if that fails.
func (v *vaulted) must(t *testing.T, args ...string) string {
	t.Helper()
	return v.mustRead(t, "", args...)
}

// mustRead is must with something piped in.
func (v *vaulted) mustRead(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	stdout, stderr, code := v.exec(t, stdin, args...)
	if code != 0 {
		t.Fatalf("coffer %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// decode runs the command line and decodes the JSON that it prints.
func (v *vaulted) decode(t *testing.T, into any, args ...string) {
	t.Helper()
	text := v.must(t, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("coffer %s printed %s: %v", strings.Join(args, " "), text, err)
	}
}

// mustFail runs the command line, which has to fail with a message that holds all words.
func (v *vaulted) mustFail(t *testing.T, words []string, args ...string) (message string) {
	t.Helper()
	stdout, stderr, code := v.exec(t, "", args...)
	if code != 1 {
		t.Errorf("coffer %s: exit code %d, want 1\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	for _, w := range words {
		if !strings.Contains(stdout+stderr, w) {
			t.Errorf("coffer %s: the message does not name %q:\n%s%s", strings.Join(args, " "), w, stdout, stderr)
		}
	}
	return stdout + stderr
}

// protect makes an instance of the first cluster with a policy of its own, for a cluster may follow a policy once. It is forgotten after
// the test if it is still there.
func (v *vaulted) protect(t *testing.T, name string, flags ...string) {
	t.Helper()
	v.protectAt(t, firstCluster, name, flags...)
}

// protectAt is protect of a cluster by its name at the server.
func (v *vaulted) protectAt(t *testing.T, cluster, name string, flags ...string) {
	t.Helper()
	v.mustHavePolicy(t, vaultName, name)
	v.must(t, append([]string{"backup-instance", "create", "-n", name, "--cluster", v.clusterID(cluster), "--policy-name", name}, flags...)...)
	t.Cleanup(func() {
		_, _, _ = v.exec(t, "", "backup-instance", "delete", "-n", name, "--retain-data", "--yes")
	})
}

// begun is the id of the job that a command has begun.
func (v *vaulted) begun(t *testing.T, args ...string) string {
	t.Helper()
	var o arm.OperationJob
	v.decode(t, &o, args...)
	if o.JobID == "" {
		t.Fatalf("coffer %s began no job", strings.Join(args, " "))
	}
	return o.JobID
}

// job is how far a job is.
func (v *vaulted) job(t *testing.T, id string) arm.Job {
	t.Helper()
	var shown struct{ Properties arm.Job }
	v.decode(t, &shown, "job", "show", id)
	return shown.Properties
}

// awaitJob waits until something is true of a job. The server may be away meanwhile.
func (v *vaulted) awaitJob(t *testing.T, id, what string, limit time.Duration, is func(arm.Job) bool) (j arm.Job) {
	t.Helper()
	eventually(t, "job "+id+" "+what, limit, func(context.Context) (bool, error) {
		stdout, _, code := v.exec(t, "", "job", "show", id, "-o", "json")
		var shown struct{ Properties arm.Job }
		if code != 0 || json.Unmarshal([]byte(stdout), &shown) != nil {
			return false, nil //nolint:nilerr // The server may be away.
		}
		j = shown.Properties
		return is(j), nil
	})
	return j
}

func hasEnded(j arm.Job) bool { return !j.Status.Is("InProgress") }

// details are the additional details of a job.
func details(j arm.Job) map[string]string {
	if j.ExtendedInfo == nil {
		return nil
	}
	return j.ExtendedInfo.AdditionalDetails
}

// mustComplete waits for a job, which has to go well and to say all that people want to know of one.
func (v *vaulted) mustComplete(t *testing.T, id string) arm.Job {
	t.Helper()
	j := v.awaitJob(t, id, "ends", 5*time.Minute, hasEnded)
	if !j.Status.Is("Completed") && !onlyPlanNotStored(j) || len(j.ErrorDetails) > 0 || j.EndTime == nil || len(j.SupportedActions) != 0 {
		t.Errorf("job: %s", mustJSON(t, j))
	}
	if j.ExtendedInfo == nil || len(j.ExtendedInfo.SubTasks) == 0 || details(j)["RunName"] == "" {
		t.Errorf("the job has no tasks, or no run: %s", mustJSON(t, j))
	} else if bad := slices.IndexFunc(j.ExtendedInfo.SubTasks, func(s arm.JobTask) bool { return !s.TaskStatus.Is("Completed") && !s.TaskStatus.Is("Skipped") }); bad >= 0 {
		t.Errorf("a task of a job that has completed: %+v", j.ExtendedInfo.SubTasks[bad])
	}
	return j
}

// onlyPlanNotStored says that all that is wrong with a restore is that its storage location is only read from.
func onlyPlanNotStored(j arm.Job) bool {
	return j.Status.Is("CompletedWithWarnings") && j.ExtendedInfo != nil && len(j.ExtendedInfo.WarningDetails) == 1 &&
		j.ExtendedInfo.WarningDetails[0].Warning.Code == "KubernetesRestorePlanNotStored"
}

// points are the recovery points of an instance, the newest first.
func (v *vaulted) points(t *testing.T, instance string) []arm.RecoveryPoint {
	t.Helper()
	var shown []struct{ Properties arm.RecoveryPoint }
	v.decode(t, &shown, "recovery-point", "list", "-n", instance)
	var all []arm.RecoveryPoint
	for _, s := range shown {
		all = append(all, s.Properties)
	}
	return all
}

// restoreArgs restore the newest recovery point of an instance, whose database a hook opens again.
func restoreArgs(instance string, flags ...string) []string {
	return append([]string{
		"backup-instance", "restore", "trigger", "-n", instance, "--recovery-point-id", "latest", "--restore-hook-references", "default/reopen",
	}, flags...)
}

// mustBeWithout fails if an instance has left anything on the storage since start, or in the blob container.
func mustBeWithout(t *testing.T, points []arm.RecoveryPoint, start map[string]bool) {
	t.Helper()
	if left := snapshotsOnDisk(t); !maps.Equal(left, start) {
		t.Errorf("there are %d snapshots, before: %d", len(left), len(start))
	}
	for _, p := range points {
		for _, name := range []string{p.RecoveryPointID, p.FriendlyName} {
			if entries, err := os.ReadDir(fmt.Sprintf("%s/backups/backups/%s", lab.blobs, name)); err == nil && len(entries) > 0 {
				t.Errorf("blobs of %s are left: %v", name, entries)
			}
		}
	}
}
