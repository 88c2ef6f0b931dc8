//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	nouns "github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// older is a backup such as Velero makes on an older cluster, by path: an autoscaler at a version that this cluster serves and
// does not prefer, a budget at one that it does not serve with a copy at one that it does, and another one without.
var older = [][2]string{
	{"metadata/version", "1.1.0\n"},
	{"resources/namespaces/cluster/older.json", `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"older","uid":"o0"}}`},
	{"resources/horizontalpodautoscalers.autoscaling/namespaces/older/web.json", `{
		"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"web","namespace":"older","uid":"o1","annotations":{
			"autoscaling.alpha.kubernetes.io/metrics":"[{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\",\"targetAverageUtilization\":60}}]",
			"autoscaling.alpha.kubernetes.io/conditions":"[{\"type\":\"AbleToScale\",\"status\":\"True\"}]"}},
		"spec":{"minReplicas":2,"maxReplicas":5,"targetCPUUtilizationPercentage":70,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}}`},
	{"resources/poddisruptionbudgets.policy/namespaces/older/copied.json", `{
		"apiVersion":"policy/v1beta1","kind":"PodDisruptionBudget","metadata":{"name":"copied","namespace":"older","uid":"o2"},"spec":{"maxUnavailable":9,"selector":{}}}`},
	{"resources/poddisruptionbudgets.policy/v1/namespaces/older/copied.json", `{
		"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"copied","namespace":"older","uid":"o2"},"spec":{"maxUnavailable":1,"selector":{"matchLabels":{"a":"b"}}}}`},
	{"resources/poddisruptionbudgets.policy/namespaces/older/alone.json", `{
		"apiVersion":"policy/v1beta1","kind":"PodDisruptionBudget","metadata":{"name":"alone","namespace":"older","uid":"o3"},"spec":{"maxUnavailable":2,"selector":{}}}`},
	{"resources/rockets.older.example/namespaces/older/lost.json", `{
		"apiVersion":"older.example/v1","kind":"Rocket","metadata":{"name":"lost","namespace":"older","uid":"o4"}}`},
}

// putOlder puts that backup into a bucket.
func putOlder(t *testing.T, bucket string) {
	t.Helper()
	var archive, volumes bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	out := tar.NewWriter(zipped)
	for _, file := range older {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file[0], Size: int64(len(file[1])), Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(file[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	if err := recoverypoint.WriteZippedJSON(&volumes, []any{}); err != nil {
		t.Fatal(err)
	}
	layout := recoverypoint.LayoutOf("older")
	for key, body := range map[string][]byte{
		layout.VeleroBackup(): []byte(`{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"older"},"spec":{"includedNamespaces":["older"]},"status":{"phase":"Completed"}}`),
		layout.VolumeInfo():   volumes.Bytes(),
		layout.Archive():      archive.Bytes(),
	} {
		if _, err := newS3().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(key), Body: bytes.NewReader(body)}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestObjectsOfOtherVersionsMeanWhatTheyMeant(t *testing.T) {
	const bucket = "older"
	if _, err := newS3().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	putOlder(t, bucket)
	t.Setenv("AWS_ACCESS_KEY_ID", os.Getenv("COFFER_SERVICE_S3_ACCESS_KEY"))
	t.Setenv("AWS_SECRET_ACCESS_KEY", os.Getenv("COFFER_SERVICE_S3_SECRET_KEY"))
	mustCoffer(t, "velero", "import", "older", "--provider", "s3", "--container", bucket, "--force-path-style", "--trust-unsigned",
		"--region", os.Getenv("COFFER_SERVICE_S3_REGION"), "--endpoint", os.Getenv("COFFER_SERVICE_S3_INSIDE"), "--credentials-env", "--wait")
	t.Cleanup(func() { _, _, _ = lab.run(t, "storage-location", "delete", "older", "--yes") })
	shopIn(t, "older")
	r := restored(t, "older", v1alpha1.RestoreSpec{StorageLocation: "older", BackupName: "older"})
	mustSucceed(t, r, 0)

	scaler := live(t, "autoscaling/v2", "HorizontalPodAutoscaler", "older/web")
	mustHold(t, scaler, map[string]string{
		"spec.minReplicas": "2", "spec.maxReplicas": "5", "metadata.annotations": "",
		"spec.metrics": "[map[resource:map[name:memory target:map[averageUtilization:60 type:Utilization]] type:Resource] map[resource:map[name:cpu target:map[averageUtilization:70 type:Utilization]] type:Resource]]",
	})
	mustHold(t, live(t, "policy/v1", "PodDisruptionBudget", "older/copied"), map[string]string{"spec.maxUnavailable": "1"})
	mustHold(t, live(t, "policy/v1", "PodDisruptionBudget", "older/alone"), map[string]string{
		"spec.maxUnavailable": "2",
		// In the version that is gone, an empty selector selected nothing.
		"spec.selector": "map[matchExpressions:[map[key:pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match operator:Exists]]]",
	})
	mustWarn(t, r, nouns.CodeVersionNotServed, "poddisruptionbudgets.policy older/alone", "policy/v1beta1")
	mustWarn(t, r, nouns.CodeTypeNotCaptured, "rockets.older.example older/lost", "does not serve")
	if p := r.Status.Progress; p.Created != 4 || r.Status.WarningCount != 2 {
		t.Errorf("restore: %+v\n%s", p, warningsText(r))
	}
}
