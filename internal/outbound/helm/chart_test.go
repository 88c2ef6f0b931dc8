package helm

import (
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/deploy/charts"
)

// mustRender renders the extension's chart, and answers each object's YAML by its kind.
func mustRender(t *testing.T, set ...string) map[string]string {
	t.Helper()
	i := Installer{Chart: charts.Extension, Folder: charts.ExtensionFolder}
	loaded, err := i.load()
	if err != nil {
		t.Fatal(err)
	}
	given, err := values(Options{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(loaded, given, common.ReleaseOptions{Name: release, Namespace: "ns"}, common.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]string{}
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for _, document := range strings.Split(text, "\n---\n") {
			var head struct{ Kind string }
			if err := yaml.Unmarshal([]byte(document), &head); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			objects[head.Kind] = document
		}
	}
	return objects
}

func mustLocation(t *testing.T, objects map[string]string) v1alpha1.BackupStorageLocationSpec {
	t.Helper()
	var l v1alpha1.BackupStorageLocation
	if err := yaml.UnmarshalStrict([]byte(objects["BackupStorageLocation"]), &l); err != nil {
		t.Fatal(err)
	}
	return l.Spec
}

func TestTheChartKeepsBlobsInAClaimUnlessItIsToldOtherwise(t *testing.T) {
	objects := mustRender(t)
	if spec := mustLocation(t, objects); spec.Provider != v1alpha1.ProviderFilesystem || spec.Container != "backups" || spec.Azure != nil {
		t.Errorf("the location is %+v", spec)
	}
	if !strings.Contains(objects["PersistentVolumeClaim"], "coffer-blobs") || !strings.Contains(objects["Deployment"], "claimName: coffer-blobs") {
		t.Error("there is no claim, or it is not mounted")
	}
}

func TestTheChartMakesLocationsOfObjectStoresWithoutAVolume(t *testing.T) {
	objects := mustRender(t,
		"clusterName=prod", "storageLocation.provider=s3", "storageLocation.container=vault", "storageLocation.prefix=a/b",
		"storageLocation.credentialsSecret=keys", "storageLocation.s3.endpoint=https://minio:9000", "storageLocation.s3.forcePathStyle=true",
		`serviceAccount.annotations.eks\.amazonaws\.com/role-arn=arn:x`, "podLabels.a=b")
	spec := mustLocation(t, objects)
	if spec.Provider != v1alpha1.ProviderS3 || spec.Container != "vault" || spec.Prefix != "a/b" || spec.CredentialsSecretRef.Name != "keys" ||
		spec.S3.Endpoint != "https://minio:9000" || !spec.S3.ForcePathStyle || spec.Azure != nil || spec.GCS != nil {
		t.Errorf("the location is %+v", spec)
	}
	if objects["PersistentVolumeClaim"] != "" {
		t.Error("there is a claim")
	}
	for _, text := range []string{"blobs", "initContainers", "Recreate"} {
		if strings.Contains(objects["Deployment"], text) {
			t.Errorf("the Deployment has %s", text)
		}
	}
	for object, text := range map[string]string{"ServiceAccount": "eks.amazonaws.com/role-arn: arn:x", "Deployment": "--cluster-name=prod"} {
		if !slices.ContainsFunc(strings.Split(objects[object], "\n"), func(line string) bool { return strings.Contains(line, text) }) {
			t.Errorf("%s lacks %s", object, text)
		}
	}
	if !strings.Contains(objects["Deployment"], "        a: b\n") {
		t.Error("the pod lacks its label")
	}
}

func TestContentsAreServedUnlessToldOtherwise(t *testing.T) {
	// An upgrade from a chart that did not know the value comes without.
	for set, off := range map[string]bool{"serveContents=true": false, "serveContents=null": false, "serveContents=false": true} {
		deployment := mustRender(t, set)["Deployment"]
		if strings.Contains(deployment, "--serve-contents=false") != off || strings.Contains(deployment, "containerPort: 8082") {
			t.Errorf("%s:\n%s", set, deployment)
		}
	}
}

func TestTheLocationNamesItsKeys(t *testing.T) {
	if spec := mustLocation(t, mustRender(t)); spec.Encryption != nil {
		t.Errorf("the location is encrypted by itself: %+v", spec.Encryption)
	}
	if spec := mustLocation(t, mustRender(t, "storageLocation.encryptionSecret=backup-keys")); spec.Encryption == nil || spec.Encryption.SecretRef.Name != "backup-keys" {
		t.Errorf("encryption is %+v", spec.Encryption)
	}
}
