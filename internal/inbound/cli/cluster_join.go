package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	decide "github.com/coffer-backup/coffer/internal/decide/extension"
)

const (
	extensionCollection = "providers/Microsoft.KubernetesConfiguration/extensions"
	// extensionKind and extensionName are what az calls the Backup extension of a cluster.
	extensionKind = "microsoft.dataprotection.kubernetes"
	extensionName = "azure-aks-backup"
	// joinSecret and joinKey are where the connector looks for its token.
	joinSecret = "coffer-join"
	joinKey    = "token"
	// storeSecret is what the Secret with a store's credentials is called, if a new one is made and nobody says how.
	storeSecret = "default-credentials"
	// linkInterval is between questions to the server about a cluster that is about to connect.
	linkInterval = time.Second
)

// joinFlags say how a cluster is joined.
type joinFlags struct {
	location, server string
	// kubeconfig is the file of one by which the server dials the cluster; empty is that a connector dials the server.
	kubeconfig                               string
	bindingsByOwner, settingsByOwner, noWait bool
	install                                  InstallOptions
	store                                    storageFlags
	// changes are those of the flags given that change an extension that is there.
	changes []string
}

func (f *joinFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.location, "location", "l", "", "region of the cluster (default that of the vault, the profile's, or that of the resource group)")
	flags.StringVar(&f.server, "link-server", "", "HOST:PORT at which the cluster reaches the server (default what the server says)")
	flags.StringVar(&f.kubeconfig, "server-kubeconfig", "", "file with a kubeconfig by which the server dials the cluster, in place of a connector that dials the server")
	flags.BoolVar(&f.bindingsByOwner, "allow-bindings-by-owner", false,
		"let owners of the cluster's resource give vaults trusted access at the server, without anybody's word in the cluster")
	flags.BoolVar(&f.settingsByOwner, "allow-settings-by-owner", false,
		"let owners of the cluster's resource change at the server where recovery points are written to, within what the credentials in the cluster are for")
	f.install.bind(flags)
	f.store.bindStore(flags)
}

// byOwner are the flags by which a cluster's owner lets owners at the server do something, and the chart's values of them.
func (f joinFlags) byOwner() map[string]byOwner {
	return map[string]byOwner{
		"allow-bindings-by-owner": {"allowBindingsByOwner", f.bindingsByOwner}, "allow-settings-by-owner": {"allowSettingsByOwner", f.settingsByOwner},
	}
}

type byOwner struct {
	value   string
	allowed bool
}

// readChanges notes which of the flags given change what is installed.
func (f *joinFlags) readChanges(cmd *cobra.Command) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&InstallOptions{}).bind(own)
	(&storageFlags{}).bindStore(own)
	for flag := range f.byOwner() {
		own.Bool(flag, false, "")
	}
	own.String("server-kubeconfig", "", "")
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if own.Lookup(flag.Name) != nil && flag.Name != "timeout" {
			f.changes = append(f.changes, flag.Name)
		}
	})
}

func (p *program) newClusterJoin() *cobra.Command {
	var at scopeFlags
	var f joinFlags
	cmd := &cobra.Command{
		Use: "join CLUSTER", Short: "Join the cluster of the kubeconfig to the server, with its Backup extension", Args: oneCluster, ValidArgsFunction: p.completeClusters,
		Long: `Join the cluster of the kubeconfig to the server.

It makes the cluster's resource at the server if there is none, installs the Backup extension or upgrades it, and has it dial the server: nothing
has to reach the cluster. Vaults may do nothing in it until they are given trusted access. What is done already is left as it is.`,
		Example: `  coffer cluster join shop-1 -g shop -l westeurope
  coffer cluster join shop-1 -g shop --context prod --provider s3 --container backups --region eu-central-1 --credentials-env
  coffer cluster join shop-1 -g shop --link-server vault.example.org:8445 --values values.yaml
  coffer cluster join shop-1 -g shop --server-kubeconfig vault-server.kubeconfig`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.readChanges(cmd)
			s, id, err := p.atCluster(cmd.Context(), at, args[0])
			if err != nil {
				return err
			}
			joined, err := p.join(cmd.Context(), s, id, f)
			if err != nil {
				return err
			}
			if err := p.showOne(clusterNoun(), joined); err != nil {
				return err
			}
			if !f.noWait {
				p.told("Next: `coffer protect %s`, or give a vault trusted access with `coffer trusted-access rolebinding create`.", printable(id))
			}
			return nil
		},
	}
	at.bindGroup(p, cmd)
	f.bind(cmd)
	bindNoWait(cmd, &f.noWait)
	return p.onBoth(cmd)
}

// join has the cluster of the kubeconfig join under an id, and answers what the server says of it then. What is done already is not done again.
func (p *program) join(ctx context.Context, s session, id string, f joinFlags) (json.RawMessage, error) {
	spec, data, err := f.storage()
	if err != nil {
		return nil, err
	}
	given, err := f.readKubeconfig()
	if err != nil {
		return nil, err
	}
	c, err := p.client()
	if err != nil {
		return nil, err
	}
	v, text, err := p.register(ctx, s, c, id, f.location)
	if err != nil {
		return nil, err
	}
	if err := f.mustJoinTheSameWay(v); err != nil {
		return nil, err
	}
	settings, err := p.ensureExtension(ctx, s, id)
	if err != nil {
		return nil, err
	}
	if v.Properties.Coffer.State == clusterConnected && len(f.changes) == 0 {
		p.told("Cluster %s has joined already, and is connected. Nothing was changed.", v.Name)
		return text, nil
	}
	if err := p.ensureNamespace(ctx, c); err != nil {
		return nil, err
	}
	o, err := p.installation(ctx, s, c, v, settings, f, spec, data)
	if err != nil {
		return nil, err
	}
	p.told("Installing the Backup extension in namespace %s …", p.target.Namespace)
	if err := p.Installer.Install(ctx, p.target, o); err != nil {
		return nil, fmt.Errorf("install the Backup extension: %w", err)
	}
	if given != "" {
		if err := s.giveKubeconfig(ctx, v, p.target.Namespace, given); err != nil {
			return nil, err
		}
	}
	if f.noWait {
		_, text, _, err := readAs[clusterView](ctx, s, id)
		return text, err
	}
	return p.awaitLink(ctx, s, c, id, o.Timeout)
}

// installation is how the extension of a cluster is installed: with its store, whose credentials are put into the cluster, and with its
// connector, whose token is.
func (p *program) installation(ctx context.Context, s session, c client.Client, v clusterView, settings extensionSettings, f joinFlags,
	spec *v1alpha1.BackupStorageLocationSpec, data map[string][]byte,
) (o InstallOptions, err error) {
	connected := v.Properties.Coffer.State == clusterConnected
	o = f.install
	o.Values = map[string]any{}
	if !connected {
		// Whoever owns the cluster says by joining it that they are to hold there.
		if spec, err = p.useSettings(settings, spec, o.Values); err != nil {
			return o, err
		}
	}
	if spec != nil {
		if o.Values["storageLocation"], err = p.prepareStore(ctx, c, *spec, data); err != nil {
			return o, err
		}
	}
	if v.Properties.Coffer.State == clusterPending && len(o.ValuesFiles)+len(o.Set) == 0 {
		// Helm has kept what another server, or this one before, was let do.
		f.changes = slices.Concat(f.changes, slices.Collect(maps.Keys(f.byOwner())))
	}
	o.Values["connector"], err = p.prepareConnector(ctx, s, c, string(v.ID), connected, f)
	return o, err
}

// register makes what the server keeps of a cluster, if it is missing, and answers the cluster. A cluster that cannot be
// joined under this id is refused before.
func (p *program) register(ctx context.Context, s session, c client.Client, id, location string) (clusterView, json.RawMessage, error) {
	uid, err := uidOf(ctx, c)
	if err == nil {
		err = s.mustBeNoOther(ctx, id, uid)
	}
	if err == nil {
		err = p.ensureCluster(ctx, s, id, location)
	}
	if err != nil {
		return clusterView{}, nil, err
	}
	v, text, _, err := readAs[clusterView](ctx, s, id)
	if err == nil {
		err = mustBeThatCluster(v, uid)
	}
	return v, text, err
}

// prepareConnector answers the connector's values of the chart. Unless the cluster is connected, it puts a join token into the cluster.
func (p *program) prepareConnector(ctx context.Context, s session, c client.Client, id string, connected bool, f joinFlags) (map[string]any, error) {
	values := map[string]any{"enabled": true}
	for flag, of := range f.byOwner() {
		if slices.Contains(f.changes, flag) {
			values[of.value] = of.allowed
		}
	}
	if f.kubeconfig != "" {
		// What a connector before was let do, Helm has kept, and the chart refuses.
		values["link"], values["allowBindingsByOwner"] = false, false
		return values, nil
	}
	if connected {
		return values, nil
	}
	values["link"] = true
	token, err := s.joinToken(ctx, id, f.server)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(token))
	values["joinTokenDigest"] = hex.EncodeToString(digest[:])
	// The token itself is no value of the chart, for Helm would keep it.
	return values, p.putSecret(ctx, c, joinSecret, map[string][]byte{joinKey: []byte(token)})
}

// storage is the location that the flags name, and the credentials that a Secret is to be made of; both are nil if they name none.
func (f joinFlags) storage() (*v1alpha1.BackupStorageLocationSpec, map[string][]byte, error) {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&storageFlags{}).bindStore(own)
	if !slices.ContainsFunc(f.changes, func(flag string) bool { return own.Lookup(flag) != nil }) {
		return nil, nil, nil
	}
	spec, err := f.store.spec()
	if err != nil {
		return nil, nil, err
	}
	data, err := f.store.credentials()
	if err != nil {
		return nil, nil, err
	}
	if data != nil && spec.CredentialsSecretRef == nil {
		spec.CredentialsSecretRef = &v1alpha1.SecretReference{Name: storeSecret}
	}
	return &spec, data, nil
}

// storageValues are the values of the chart for a location.
func storageValues(spec v1alpha1.BackupStorageLocationSpec) (map[string]any, error) {
	// What is null takes away what an installation before this one said of another provider.
	text, err := json.Marshal(map[string]any{"azure": spec.Azure, "s3": spec.S3, "gcs": spec.GCS})
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, err
	}
	values["provider"], values["container"], values["prefix"], values["credentialsSecret"] = string(spec.Provider), spec.Container, spec.Prefix, ""
	if spec.CredentialsSecretRef != nil {
		values["credentialsSecret"] = spec.CredentialsSecretRef.Name
	}
	return values, nil
}

// makeTime is how long a store may take to answer about its container: it may be one that only the cluster reaches.
const makeTime = 20 * time.Second

// prepareStore puts credentials into the Secret that the location names, makes the container, and answers the location's values of the chart.
func (p *program) prepareStore(ctx context.Context, c client.Client, spec v1alpha1.BackupStorageLocationSpec, data map[string][]byte) (map[string]any, error) {
	switch {
	case data != nil:
		if err := p.putSecret(ctx, c, spec.CredentialsSecretRef.Name, data); err != nil {
			return nil, err
		}
	case spec.CredentialsSecretRef != nil:
		var kept corev1.Secret
		if err := c.Get(ctx, p.key(spec.CredentialsSecretRef.Name), &kept); err != nil {
			return nil, fmt.Errorf("read Secret %s, which --credentials-secret names: %w", spec.CredentialsSecretRef.Name, err)
		}
		data = kept.Data
	}
	p.makeContainer(ctx, spec, data)
	return storageValues(spec)
}

// makeContainer makes the container, where the credentials may and it is missing. That this cannot be done from here is no error: the extension
// says what it finds.
func (p *program) makeContainer(ctx context.Context, spec v1alpha1.BackupStorageLocationSpec, data map[string][]byte) {
	anonymous := spec.GCS != nil && spec.GCS.Anonymous
	if spec.Provider == v1alpha1.ProviderFilesystem || data == nil && !anonymous {
		// The extension makes the one; the identity of its pod, who may make the other, is not had here.
		return
	}
	ctx, cancel := context.WithTimeout(ctx, makeTime)
	defer cancel()
	made, err := p.MakeContainerFunc(ctx, spec, data)
	switch {
	case err != nil:
		p.told("Container %s could not be looked at from here: %v; if it is missing, make it.", spec.Container, err)
	case made:
		p.told("Container %s is made.", spec.Container)
	}
}

// mustBeNoOther refuses to join a cluster that has joined under another id, before its connector is disturbed. The server refuses it too, and
// sees those that this person may not.
func (s session) mustBeNoOther(ctx context.Context, id, uid string) error {
	path := "/subscriptions/" + catalogue.ID(id).Subscription() + "/" + clusterCollection
	other, there, err := firstOf(ctx, s, path, func(v clusterView) bool {
		return strings.EqualFold(v.Properties.Coffer.ClusterUID, uid) && v.Properties.Coffer.State != clusterPending && !v.ID.Is(catalogue.ID(id))
	})
	if err == nil && there {
		err = fmt.Errorf("the cluster of the kubeconfig has joined already, as %s; use it under that id, or let it leave there first with `coffer cluster leave %s`", other.ID, other.ID)
	}
	return err
}

// ensureCluster makes the resource of a cluster, if there is none.
func (p *program) ensureCluster(ctx context.Context, s session, id, location string) error {
	_, _, there, err := readAs[clusterView](ctx, s, id)
	if err != nil || there {
		return err
	}
	if location, err = s.clusterLocation(ctx, location, id); err != nil {
		return err
	}
	body := map[string]any{"location": location, "identity": map[string]any{"type": "SystemAssigned"}}
	if _, err := s.send(ctx, http.MethodPut, id, body); err != nil {
		return fmt.Errorf("create cluster %s: %w", catalogue.ID(id).Name(), err)
	}
	p.told("Cluster %s is registered at the server, in %s.", catalogue.ID(id).Name(), location)
	return nil
}

// clusterLocation is the region that is meant for a new cluster: if nothing is said, that of the profile's vault, for they have to be the same.
func (s session) clusterLocation(ctx context.Context, given, id string) (string, error) {
	if given == "" && s.profile.VaultName != "" && s.profile.ResourceGroup != "" {
		vault, err := s.vaultID(ctx, scopeFlags{})
		if err != nil {
			return "", err
		}
		v, _, there, err := readAs[vaultView](ctx, s, vault)
		if err != nil || there {
			return v.Location, err
		}
	}
	return s.location(ctx, given, id)
}

// extensionSettings are those that the server has for a cluster's extension, and what is known of the storage account that they name.
type extensionSettings struct {
	values  map[string]string
	account decide.Account
}

// ensureExtension makes the resource of a cluster's Backup extension, if there is none, and answers its settings.
func (p *program) ensureExtension(ctx context.Context, s session, cluster string) (settings extensionSettings, err error) {
	v, there, err := s.extension(ctx, cluster)
	if err != nil {
		return settings, err
	}
	if !there {
		body := map[string]any{"properties": map[string]any{"extensionType": extensionKind}}
		if _, err := s.send(ctx, http.MethodPut, cluster+"/"+extensionCollection+"/"+extensionName, body); err != nil {
			return settings, fmt.Errorf("register the Backup extension: %w", err)
		}
		return settings, nil
	}
	settings.values = map[string]string{}
	for name, value := range v.Properties.Settings {
		if value != nil {
			settings.values[name] = *value
		}
	}
	id := decide.AccountOf(settings.values, catalogue.ID(cluster))
	if id == "" {
		return settings, nil
	}
	type accountView struct {
		Properties struct {
			Coffer decide.Account `json:"coffer"`
		} `json:"properties"`
	}
	account, _, _, err := readAs[accountView](ctx, s, string(id))
	settings.account = account.Properties.Coffer
	return settings, err
}

// useSettings are the settings of the server for an installation: a storage location, unless there is one of the command line, and resources, which
// go into the chart's values. What is used is said.
func (p *program) useSettings(settings extensionSettings, given *v1alpha1.BackupStorageLocationSpec, values map[string]any) (*v1alpha1.BackupStorageLocationSpec, error) {
	read, err := decide.Read(settings.values, settings.account)
	if err != nil {
		return nil, err
	}
	resources := map[string]any{}
	for kind, amounts := range map[string]map[string]string{"limits": read.Limits, "requests": read.Requests} {
		if amounts == nil {
			continue
		}
		each := map[string]any{}
		for name, amount := range amounts {
			each[name] = amount
		}
		resources[kind] = each
	}
	if len(resources) > 0 {
		values["resources"] = resources
		p.told("The extension's settings at the server name its resources: they are used.")
	}
	for _, name := range read.Unused {
		p.told("The setting %.100s of the extension at the server means nothing here.", name)
	}
	if given != nil || read.Location == nil {
		return given, nil
	}
	p.told("The extension's settings at the server name the container %s of provider %s: recovery points are written there, by the identity of the extension's pod. "+
		"With credentials of your own, name the store with --provider and its flags.", read.Location.Container, read.Location.Provider)
	return read.Location, nil
}

// joinToken is a new one. It is a secret.
func (s session) joinToken(ctx context.Context, cluster, server string) (string, error) {
	body := map[string]any{}
	put(body, server, "server")
	answer, err := s.send(ctx, http.MethodPost, cluster+ownProvider+"joinToken", body)
	if err != nil {
		return "", fmt.Errorf("ask for a join token: %w", err)
	}
	found, err := decodeAs[struct {
		Token string `json:"token"`
	}](answer)
	if err == nil && found.Token == "" {
		err = errors.New("the server gave no join token")
	}
	return found.Token, err
}

func (p *program) ensureNamespace(ctx context.Context, c client.Client) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.target.Namespace}}
	err := c.Get(ctx, client.ObjectKeyFromObject(namespace), namespace)
	if !apierrors.IsNotFound(err) {
		return err
	}
	if err := c.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", namespace.Name, err)
	}
	return nil
}

// putSecret makes a Secret, or replaces what one says.
func (p *program) putSecret(ctx context.Context, c client.Client, name string, data map[string][]byte) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}, Data: data}
	err := c.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
			return fmt.Errorf("read Secret %s: %w", name, err)
		}
		if secret.Labels["app.kubernetes.io/managed-by"] == "Helm" {
			return fmt.Errorf("the Secret %s is made by Helm, from values of the extension's chart; take connector.joinToken out of them first", name)
		}
		secret.Data = data
		err = c.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("write Secret %s: %w", name, err)
	}
	return nil
}

// awaitLink waits until a cluster is connected, and takes its join token away then. It shows what the connector says meanwhile.
func (p *program) awaitLink(ctx context.Context, s session, c client.Client, id string, timeout time.Duration) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	line := newOperationLine(p, "join cluster "+catalogue.ID(id).Name())
	defer line.end()
	said := ""
	tick := time.NewTicker(linkInterval)
	defer tick.Stop()
	for {
		v, text, there, err := readAs[clusterView](ctx, s, id)
		switch {
		case err != nil && ctx.Err() == nil:
			return nil, fmt.Errorf("follow the joining: %w", err)
		case err == nil && !there:
			return nil, fmt.Errorf("the cluster %s was deleted meanwhile", id)
		case err == nil && v.Properties.Coffer.State == clusterConnected:
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: joinSecret}}
			if err := c.Delete(ctx, secret); err != nil && !apierrors.IsNotFound(err) {
				p.told("The join token, which is used up, is still in Secret %s: %v", joinSecret, err)
			}
			return text, nil
		case err == nil:
			line.show(v.Properties.Coffer.State)
		}
		if l := v.Properties.Coffer; l.JoinedBy != "" && l.Message != "" && l.Message != said {
			said = l.Message
			line.end()
			p.told("The server says: %s", said)
		}
		if now := p.connectorSays(ctx, c); now != "" && now != said {
			said = now
			line.end()
			p.told("The connector says: %s", now)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the cluster has not connected (%w): `kubectl logs -n %s deployment/coffer-connector` says why; `coffer cluster show %s` whether it has since",
				ctx.Err(), p.target.Namespace, id)
		case <-tick.C:
		}
	}
}

// connectorPort is where the connector says, at /readyz, whether it is linked, and if not, why.
const connectorPort = 8081

// connectorSays is why the connector is not linked; empty if it is, or if it cannot be asked. It is only for people: the link is what counts.
func (p *program) connectorSays(ctx context.Context, c client.Client) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var pods corev1.PodList
	if c.List(ctx, &pods, client.InNamespace(p.target.Namespace), client.MatchingLabels{"app.kubernetes.io/name": "coffer-connector"}) != nil {
		return ""
	}
	at := slices.IndexFunc(pods.Items, func(pod corev1.Pod) bool {
		return pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil
	})
	if at < 0 {
		return ""
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return p.DialFunc(ctx, p.target, pods.Items[at].Name, connectorPort)
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/readyz", connectorPort), nil)
	if err != nil {
		return ""
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	const most = 2 << 10
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil || response.StatusCode == http.StatusOK {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(string(text)), "not linked:"))
}
