package catalogue

import (
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestPathsMeanTargets(t *testing.T) {
	const (
		group   = "/subscriptions/S-1/resourceGroups/rg"
		vault   = group + "/providers/Microsoft.DataProtection/backupVaults/v1"
		cluster = group + "/providers/Microsoft.ContainerService/managedClusters/c1"
	)
	for _, c := range []struct{ path, id, rest, kind, parent string }{
		{"/", "", "", "", ""},
		{"/subscriptions", "", "subscriptions", "subscriptions", ""},
		{"/subscriptions/S-1", "/subscriptions/S-1", "", "Microsoft.Resources/subscriptions", ""},
		{"//SUBSCRIPTIONS/S-1/resourcegroups/rg/", group, "", "Microsoft.Resources/resourceGroups", "/subscriptions/S-1"},
		{group + "/providers/microsoft.dataprotection/BackupVaults", group, "Microsoft.DataProtection/backupVaults", "Microsoft.DataProtection/backupVaults", "/subscriptions/S-1"},
		{group + "/providers/microsoft.dataprotection/Backupvaults/v1", vault, "", "Microsoft.DataProtection/backupVaults", group},
		{vault + "/BACKUPINSTANCES/i1/recoverypoints", vault + "/backupInstances/i1", "recoveryPoints", "Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints", vault},
		{vault + "/validateForBackup", vault, "validateForBackup", "Microsoft.DataProtection/backupVaults/validateForBackup", group},
		{cluster + "/providers/Microsoft.KubernetesConfiguration/extensions/azure-aks-backup", cluster + "/providers/Microsoft.KubernetesConfiguration/extensions/azure-aks-backup", "", "Microsoft.KubernetesConfiguration/extensions", cluster},
		{cluster + "/providers/Microsoft.KubernetesConfiguration/extensions", cluster, "Microsoft.KubernetesConfiguration/extensions", "Microsoft.KubernetesConfiguration/extensions", group},
		{"/providers/Microsoft.ResourceGraph/resources", "", "Microsoft.ResourceGraph/resources", "Microsoft.ResourceGraph/resources", ""},
		{"/subscriptions/S-1/providers", "/subscriptions/S-1", "providers", "Microsoft.Resources/subscriptions/providers", ""},
		{"/subscriptions/S-1/providers/Microsoft.DataProtection", "/subscriptions/S-1", "providers/Microsoft.DataProtection", "providers/Microsoft.DataProtection", ""},
		{"/subscriptions/S-1/resourceGroups/providers/providers/Microsoft.DataProtection/backupVaults/providers", "/subscriptions/S-1/resourceGroups/providers/providers/Microsoft.DataProtection/backupVaults/providers", "", "Microsoft.DataProtection/backupVaults", "/subscriptions/S-1/resourceGroups/providers"},
	} {
		got, err := ParsePath(c.path)
		if err != nil || string(got.ID) != c.id || got.Rest != c.rest || got.Type() != c.kind || string(got.ID.Parent()) != c.parent {
			t.Errorf("%s: %+v of type %s below %s (%v)", c.path, got, got.Type(), got.ID.Parent(), err)
		}
	}
}

func TestMalformedIDsAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "/", "subscriptions/s", "/subscriptions", "/subscriptions/..", "/subscriptions/.", "/subscriptions/s/resourceGroups/a%2f",
		"/subscriptions/s/resourceGroups/a\x00", "/subscriptions/s/resourceGroups/a b", "/subscriptions/s/resourceGroups/ä",
		"/subscriptions/s/providers/x/y/z", "/subscriptions/s/resourceGroups/" + strings.Repeat("a", 261), "/subscriptions/" + strings.Repeat("/", 3000), strings.Repeat("/a/b", 17),
	} {
		if id, err := ParseID(text); coffer.CodeOf(err) != coffer.CodeInvalidResourceID {
			t.Errorf("%.60q: %q, %v", text, id, err)
		}
	}
}

func TestIDsHaveScopes(t *testing.T) {
	const text = "/subscriptions/s/resourceGroups/Rg/providers/Microsoft.DataProtection/backupVaults/v/backupInstances/i"
	id, err := ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	for scope, want := range map[ID]bool{
		"": true, "/subscriptions/S": true, "/subscriptions/s/resourcegroups/rg": true, "/subscriptions/s/resourcegroups/r": false, id: true,
		"/subscriptions/s/resourceGroups/rg/providers/Microsoft.DataProtection/backupVaults/v2": false,
	} {
		if id.Within(scope) != want {
			t.Errorf("within %s: %v", scope, !want)
		}
	}
	if id.Subscription() != "s" || id.ResourceGroup() != "Rg" || id.Group() != "/subscriptions/s/resourceGroups/Rg" || id.Name() != "i" {
		t.Errorf("%s %s %s %s", id.Subscription(), id.ResourceGroup(), id.Group(), id.Name())
	}
}

func TestAGroupLiesInASubscription(t *testing.T) {
	for _, id := range []ID{"/resourceGroups/g", "/a/b/resourceGroups/g", "/subscriptions/s/a/b/resourceGroups/g", "/subscriptions/s"} {
		if id.ResourceGroup() != "" || id.Group() != "" {
			t.Errorf("%s is in the group %q, %q", id, id.ResourceGroup(), id.Group())
		}
	}
}

// FuzzParsePath holds that what is understood is canonical: it means the same once more.
func FuzzParsePath(f *testing.F) {
	f.Add("/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v/backupInstances")
	f.Fuzz(func(t *testing.T, path string) {
		first, err := ParsePath(path)
		if err != nil {
			return
		}
		again, err := ParsePath(string(first.ID) + "/" + first.Rest)
		if strings.Contains(first.Rest, "/") {
			again, err = ParsePath(string(first.ID) + "/providers/" + strings.TrimPrefix(first.Rest, "providers/"))
		}
		if err != nil || again != first {
			t.Errorf("%q is %+v, and that is %+v (%v)", path, first, again, err)
		}
		if first.ID != "" && !first.ID.Within(first.ID.Parent()) {
			t.Errorf("%s is not within %s", first.ID, first.ID.Parent())
		}
	})
}
