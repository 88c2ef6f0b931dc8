package vault_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/extension"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

// locationWorld is a linked cluster that writes to a folder.
type locationWorld struct {
	*consentWorld
	store     *vaultworld.Store
	locations *vault.Locations
}

var folder = v1alpha1.BackupStorageLocationSpec{Provider: "filesystem", Container: "backups"}

func newLocationWorld(t *testing.T, byOwner bool) *locationWorld {
	t.Helper()
	w := &locationWorld{consentWorld: newConsentWorld(t, false)}
	c := newConnector(t, "uid-1")
	c.hello.Settings, c.hello.SettingsByOwner = true, byOwner
	w.store = vaultworld.NewStore(vaultworld.NewAPIServer(t, infoOf(c.hello)), folder)
	w.links.Set(testCluster, w.store)
	w.locations = w.another(w.links)
	return w
}

// another is the same of another process.
func (w *locationWorld) another(links *vaultworld.Links) *vault.Locations {
	w.t.Helper()
	l, err := vault.NewLocations(vault.LocationsConfig{Database: w.Database, Clusters: links, NowFunc: w.Clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func settingsBody(container, account string) string {
	return fmt.Sprintf(`{"properties":{"extensionType":"microsoft.dataprotection.kubernetes","configurationSettings":{"blobContainer":%q,"storageAccount":%q}}}`, container, account)
}

// shown is what the server says of the storage location, and of the extension.
func (w *locationWorld) shown() (vault.LocationFacts, string) {
	w.t.Helper()
	r := w.get(extensionID)
	f, err := vault.ExtensionFactsOf(r)
	if err != nil {
		w.t.Fatal(err)
	}
	var said struct {
		Properties struct {
			ProvisioningState string
			Statuses          []struct{ Code, Level, Message string }
		}
	}
	if err := json.Unmarshal(r.Facts, &said); err != nil {
		w.t.Fatal(err)
	}
	if f.StorageLocation == nil {
		return vault.LocationFacts{}, said.Properties.ProvisioningState
	}
	if last := said.Properties.Statuses[len(said.Properties.Statuses)-1]; last.Code != "StorageLocation"+string(f.StorageLocation.State) || !strings.HasPrefix(last.Message, f.StorageLocation.Message) {
		w.t.Errorf("the statuses are %+v, and the state %+v", said.Properties.Statuses, f.StorageLocation)
	}
	return *f.StorageLocation, said.Properties.ProvisioningState
}

func (w *locationWorld) mustSay(state extension.State, provisioned, words string) vault.LocationFacts {
	w.t.Helper()
	f, p := w.shown()
	if f.State != state || p != provisioned || !strings.Contains(f.Message, words) {
		w.t.Errorf("it is %s, and says %+v; want %s, %s and %q", p, f, provisioned, state, words)
	}
	return f
}

func (w *locationWorld) check() {
	w.t.Helper()
	if err := w.locations.Check(w.t.Context(), extensionID); err != nil {
		w.t.Fatal(err)
	}
}

// awaited says whether the cluster is to be asked soon.
func (w *locationWorld) awaited() bool {
	w.t.Helper()
	for _, l := range w.get(extensionID).Links {
		if l.Relation == catalogue.LinkAwaited {
			return true
		}
	}
	return false
}

func (w *locationWorld) entries(action string) (n int) {
	w.t.Helper()
	err := w.Database.View(w.t.Context(), func(ctx context.Context, v catalogue.View) error {
		all, err := v.Audit(ctx, catalogue.AuditQuery{Under: extensionID, Limit: 100})
		n = 0
		for _, e := range all {
			if e.Action == action {
				n++
			}
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestSettingsMoveTheLocationWhereTheClustersOwnerLetsThem(t *testing.T) {
	w := newLocationWorld(t, true)
	w.put(extensionID, settingsBody("shop", "shopbackups"))
	w.mustSay(extension.Pending, "Succeeded", "has not been asked")
	w.check()
	f := w.mustSay(extension.Applied, "Succeeded", "has not been looked at")
	if f.Found.StorageAccount != "shopbackups" || !f.Checked.Equal(w.Clock.Now()) || !w.awaited() {
		t.Errorf("it is %+v", f)
	}
	w.store.Find("Unavailable")
	w.check()
	w.mustSay(extension.Applied, "Failed", "cannot be used")
	w.store.Find("Available")
	w.check()
	w.mustSay(extension.Applied, "Succeeded", "are written to container shop of the storage account shopbackups")
	if w.awaited() || w.entries(access.ActionSettings) != 1 {
		t.Errorf("awaited: %t, with %d entries in the audit log", w.awaited(), w.entries(access.ActionSettings))
	}
	// Nothing is written that is as it was.
	version := w.get(extensionID).Version
	w.check()
	if now := w.get(extensionID).Version; now != version {
		t.Errorf("asked once more, it is version %d after %d", now, version)
	}
	// Somebody in the cluster has taken it back: the settings hold, for its owner has let them.
	w.store.Put(folder)
	w.check()
	w.mustSay(extension.Applied, "Succeeded", "container shop")
	// And settings that name none any more leave what there is.
	w.put(extensionID, `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes"}}`)
	w.check()
	if f, p := w.shown(); f.State != "" || p != "Succeeded" || w.awaited() {
		t.Errorf("without settings it is %s, %+v", p, f)
	}
	if _, moved := w.store.Counts(); moved != 2 {
		t.Errorf("it has moved %d times", moved)
	}
}

func TestSettingsChangeNothingThatTheClustersOwnerHasNotLet(t *testing.T) {
	w := newLocationWorld(t, false)
	w.put(extensionID, settingsBody("shop", "shopbackups"))
	w.check()
	f := w.mustSay(extension.Differs, "Succeeded", "the settings name container shop of the storage account shopbackups, and the cluster writes to container backups of its volume")
	if f.Command != "coffer cluster join "+string(testCluster)+" --provider azure --container shop --storage-account shopbackups" || w.awaited() {
		t.Errorf("it says %+v", f)
	}
	// Its owner does so.
	w.store.Put(v1alpha1.BackupStorageLocationSpec{Provider: "azure", Container: "shop", Azure: &v1alpha1.AzureStorage{StorageAccount: "shopbackups"}})
	w.store.Find("Available")
	w.check()
	w.mustSay(extension.Applied, "Succeeded", "container shop")
	if _, moved := w.store.Counts(); moved != 0 {
		t.Errorf("it has moved %d times", moved)
	}
}

func TestOnlyAnOwnerMovesALocation(t *testing.T) {
	w := newLocationWorld(t, true)
	w.putAs(w.contributor, extensionID, settingsBody("shop", "shopbackups"))
	w.check()
	w.mustSay(extension.Differs, "Succeeded", "nobody with the role Owner")
	w.put(extensionID, settingsBody("shop", "shopbackups"))
	w.check()
	w.mustSay(extension.Applied, "Succeeded", "")
	// What an Owner has asked for stays so when somebody else changes other settings, and is not what they name in its place.
	w.putAs(w.contributor, extensionID, strings.Replace(settingsBody("shop", "shopbackups"), `{"blob`, `{"cpuLimit":"1","blob`, 1))
	w.check()
	w.mustSay(extension.Applied, "Succeeded", "")
	w.putAs(w.contributor, extensionID, settingsBody("theirs", "shopbackups"))
	w.check()
	w.mustSay(extension.Differs, "Succeeded", "nobody with the role Owner")
	if _, moved := w.store.Counts(); moved != 1 {
		t.Errorf("it has moved %d times", moved)
	}
}

func TestALocationIsNotMovedFromTheCredentialsOfItsSecret(t *testing.T) {
	w := newLocationWorld(t, true)
	w.store.Put(v1alpha1.BackupStorageLocationSpec{
		Provider: "s3", Container: "backups", CredentialsSecretRef: &v1alpha1.SecretReference{Name: "keys"}, S3: &v1alpha1.S3Storage{Endpoint: "https://minio:9000"},
	})
	w.put(extensionID, settingsBody("shop", "shopbackups"))
	w.check()
	f := w.mustSay(extension.Refused, "Failed", "Secret keys, which are for nothing else")
	if f.Command == "" || w.awaited() {
		t.Errorf("it says %+v", f)
	}
	// A storage account that stands for that store is one.
	account := catalogue.ID(testGroup + "/providers/Microsoft.Storage/storageAccounts/shopbackups")
	w.put(account, `{"location":"westeurope","properties":{"coffer":{"provider":"s3","endpoint":"https://minio:9000/"}}}`)
	w.put(extensionID, settingsBody("shop", "shopbackups"))
	w.check()
	w.mustSay(extension.Applied, "Succeeded", "container shop of provider s3 at https://minio:9000")
}

func TestSettingsThatNameNoLocationSaySo(t *testing.T) {
	w := newLocationWorld(t, true)
	for body, words := range map[string]string{
		settingsBody("shop", ""):               "one is nothing without the other",
		settingsBody("SHOP", "shopbackups"):    `container of the storage location is "SHOP"`,
		settingsBody("shop", "$(reboot)"):      "$(reboot)",
		settingsBody("shop; x", "shopbackups"): "shop; x",
	} {
		w.put(extensionID, body)
		w.check()
		if f := w.mustSay(extension.Refused, "Failed", words); f.Command != "" || f.Wanted != nil || w.awaited() {
			t.Errorf("%s: %+v", body, f)
		}
	}
	if asked, _ := w.store.Counts(); asked != 0 {
		t.Errorf("the cluster was asked %d times", asked)
	}
}

func TestAnAccountIsKnownToWhoMayReadIt(t *testing.T) {
	w := newLocationWorld(t, true)
	const other = "/subscriptions/22222222-2222-8222-8222-222222222222/resourceGroups/hidden"
	w.put(other, `{"location":"westeurope"}`)
	w.put(other+"/providers/Microsoft.Storage/storageAccounts/shopbackups", `{"location":"westeurope","properties":{"coffer":{"provider":"s3","endpoint":"https://internal.example"}}}`)
	body := strings.Replace(settingsBody("shop", "shopbackups"), `{"blob`, `{"storageAccountResourceGroup":"hidden","blob`, 1)
	made := w.putAs(w.contributor, extensionID, body)
	w.mustSay(extension.Refused, "Failed", "does not have permission")
	if strings.Contains(string(made.Facts), "internal.example") {
		t.Errorf("it is shown: %s", made.Facts)
	}
	w.put(extensionID, body)
	w.mustSay(extension.Pending, "Succeeded", "internal.example")
}

func TestAClusterThatLeavesTakesItsConsentWithIt(t *testing.T) {
	w := newLocationWorld(t, true)
	w.put(extensionID, settingsBody("shop", "shopbackups"))
	w.check()
	if _, err := w.joining.Leave(t.Context(), w.owner, testCluster); err != nil {
		t.Fatal(err)
	}
	if f := w.mustSay(extension.Pending, "Succeeded", "has not been asked"); f.Consent != nil || f.Found != nil {
		t.Errorf("once it has left, it is %+v", f)
	}
	if err := w.locations.Check(t.Context(), extensionID); coffer.CodeOf(err) != coffer.CodeClusterNotJoined {
		t.Errorf("asked: %v", err)
	}
	c := newConnector(t, "uid-2")
	c.hello.Settings, c.hello.SettingsByOwner = true, true
	w.mustBeLinked(testCluster, c)
	next := vaultworld.NewStore(vaultworld.NewAPIServer(t, infoOf(c.hello)), folder)
	w.links.Set(testCluster, next)
	w.check()
	w.mustSay(extension.Differs, "Succeeded", "nobody with the role Owner")
	if _, moved := next.Counts(); moved != 0 {
		t.Errorf("the one in its place has moved %d times", moved)
	}
}

func TestAClusterThatCannotBeAskedIsForItsOwner(t *testing.T) {
	w := newLocationWorld(t, true)
	w.put(extensionID, settingsBody("shop", "shopbackups"))
	// An older connector, and a session by a kubeconfig.
	w.links.Set(testCluster, w.cluster)
	w.check()
	if f := w.mustSay(extension.Differs, "Succeeded", "cannot be asked"); f.Command == "" || w.awaited() {
		t.Errorf("it says %+v", f)
	}
}

func TestSettingsAreAppliedByWhicheverServerHasTheLink(t *testing.T) {
	w := newLocationWorld(t, true)
	// This server has acknowledged them, and is gone before the cluster has answered; its answer is lost, too.
	w.links.Set(testCluster, nil)
	w.put(extensionID, settingsBody("shop", "shopbackups"))
	if err := w.locations.Check(t.Context(), extensionID); coffer.CodeOf(err) != coffer.CodeClusterNotReachable {
		t.Fatalf("without a link: %v", err)
	}
	w.store.DieOnce()
	elsewhere := vaultworld.NewLinks()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, links := range []*vaultworld.Links{elsewhere, w.links, vaultworld.NewLinks()} {
		running.Go(func() { w.another(links).Run(ctx) })
	}
	defer running.Wait()
	defer cancel()
	elsewhere.Set(testCluster, w.store)
	eventually(t, func() bool { f, _ := w.shown(); return f.State == extension.Applied })
	w.store.Find("Available")
	eventually(t, func() bool { return !w.awaited() })
	asked, moved := w.store.Counts()
	if moved != 1 {
		t.Errorf("it has moved %d times", moved)
	}
	// It is left alone until there is something new; that is asked for without another link.
	w.Clock.Move(time.Second)
	w.put(extensionID, settingsBody("others", "shopbackups"))
	eventually(t, func() bool { f, _ := w.shown(); return f.State == extension.Applied && f.Found.Container == "others" })
	if again, _ := w.store.Counts(); again == asked {
		t.Error("it was not asked")
	}
}
