package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	clusterCollection = "providers/Microsoft.ContainerService/managedClusters"
	typeCluster       = "Microsoft.ContainerService/managedClusters"
	// ownProvider is of what Azure does not have.
	ownProvider = "/providers/Coffer.Backup/"
)

func (p *program) newCluster() *cobra.Command {
	return group("cluster", "Join clusters to a server of Backup vaults, list and show them, and let them leave",
		p.newClusterJoin(), p.newClusterShow(), p.newClusterList(), p.newClusterLeave())
}

// The states of a cluster to its server.
const (
	clusterConnected = "Connected"
	clusterPending   = "Pending"
)

// clusterView is a cluster as the server shows it.
type clusterView struct {
	ID         catalogue.ID `json:"id"`
	Name       string       `json:"name"`
	Location   string       `json:"location"`
	Properties struct {
		Coffer clusterLink `json:"coffer"`
	} `json:"properties"`
}

// clusterLink is what is known of whether a cluster has joined.
type clusterLink struct {
	State             string    `json:"state"`
	Message           string    `json:"message"`
	Command           string    `json:"command"`
	ClusterUID        string    `json:"clusterUid"`
	KubernetesVersion string    `json:"kubernetesVersion"`
	ConnectorVersion  string    `json:"connectorVersion"`
	Namespace         string    `json:"namespace"`
	VaultsNamespace   string    `json:"vaultsNamespace"`
	BindingsByOwner   bool      `json:"bindingsByOwner"`
	SettingsByOwner   bool      `json:"settingsByOwner"`
	Notes             []string  `json:"notes"`
	Joined            time.Time `json:"joined"`
	Since             time.Time `json:"since"`
	// JoinedBy is empty for a connector.
	JoinedBy string `json:"joinedBy"`
}

// moment is a time for people; a zero one is none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return when(&metav1.Time{Time: t})
}

func clusterNoun() noun {
	return noun{
		name: "cluster", create: "coffer cluster join", fields: clusterFields,
		heading: []string{"NAME", "RESOURCE GROUP", "LOCATION", "STATE", "SINCE", "KUBERNETES", "CONNECTOR"},
		row: func(text json.RawMessage) ([]string, error) {
			v, err := decodeAs[clusterView](text)
			l := v.Properties.Coffer
			return []string{v.Name, groupName(v.ID), v.Location, l.State, moment(l.Since), l.KubernetesVersion, l.ConnectorVersion}, err
		},
	}
}

func clusterFields(text json.RawMessage) ([]field, error) {
	v, err := decodeAs[clusterView](text)
	if err != nil {
		return nil, err
	}
	l := v.Properties.Coffer
	fields := []field{
		{"Name", v.Name},
		{"Resource group", groupName(v.ID)},
		{"Location", v.Location},
		{"State", l.State},
		{"Message", l.Message},
		{"Next", l.Command},
		{"Since", moment(l.Since)},
		{"Joined", moment(l.Joined)},
		{"Joined by", l.JoinedBy},
		{"Cluster UID", l.ClusterUID},
		{"Kubernetes", l.KubernetesVersion},
		{"Connector", l.ConnectorVersion},
		{"Namespace", l.Namespace},
	}
	if l.State == clusterConnected {
		fields = append(fields, field{"Bindings by owner", yesNo(l.BindingsByOwner)}, field{"Settings by owner", yesNo(l.SettingsByOwner)})
	}
	for _, note := range l.Notes {
		fields = append(fields, field{"Note", note})
	}
	return append(fields, field{"ID", string(v.ID)}), nil
}

// oneCluster takes the cluster as the only argument: its name, or its whole id.
func oneCluster(cmd *cobra.Command, args []string) error { return oneName("cluster")(cmd, args) }

// clusterID is the id of the cluster that is meant: by its id, or by its name in a resource group.
func (s session) clusterID(ctx context.Context, f scopeFlags, name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		id, err := catalogue.ParseID(name)
		if err != nil || !strings.EqualFold(id.Type(), typeCluster) {
			return "", usageError{fmt.Errorf("%.200q is not the id of a cluster: write its name, or /subscriptions/…/resourceGroups/…/%s/NAME", name, clusterCollection)}
		}
		return string(id), nil
	}
	if err := checkSegment("cluster", name); err != nil {
		return "", usageError{fmt.Errorf("%.80q cannot be the name of a cluster: letters, digits, - and _ are possible", name)}
	}
	group, err := s.groupID(ctx, f)
	return group + "/" + clusterCollection + "/" + name, err
}

// atCluster is the server, and the id of the cluster that is meant there.
func (p *program) atCluster(ctx context.Context, at scopeFlags, name string) (session, string, error) {
	s, err := p.server()
	if err != nil {
		return s, "", err
	}
	id, err := s.clusterID(ctx, at, name)
	return s, id, err
}

// notThere says that a server's answer was that there is no such resource.
func notThere(err error) bool {
	code := coffer.CodeOf(err)
	return code == coffer.CodeResourceNotFound || code == coffer.CodeGroupNotFound || code == coffer.CodeParentNotFound
}

// readAs reads a resource of the server; there says whether there is one.
func readAs[T any](ctx context.Context, s session, id string) (v T, text json.RawMessage, there bool, err error) {
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: id})
	switch {
	case notThere(err):
		return v, nil, false, nil
	case err != nil:
		return v, nil, false, err
	}
	v, err = decodeAs[T](reply.Body)
	return v, reply.Body, err == nil, err
}

// send makes a request with a body, waits for the end of what it begins, and answers what came of it.
func (s session) send(ctx context.Context, method, path string, body any) (json.RawMessage, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	reply, err := s.Do(ctx, Call{Method: method, Path: path, Body: text, Follow: true, Progress: func(string) {}})
	return reply.Body, err
}

// uidOf is what the cluster of the kubeconfig is known by: the UID of its kube-system.
func uidOf(ctx context.Context, c client.Client) (string, error) {
	var system corev1.Namespace
	if err := c.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &system); err != nil {
		return "", fmt.Errorf("look which cluster the kubeconfig leads to: %w", err)
	}
	return string(system.UID), nil
}

// mustBeThatCluster refuses a kubeconfig that leads to another cluster than the one that has joined.
func mustBeThatCluster(v clusterView, uid string) error {
	known := v.Properties.Coffer.ClusterUID
	if v.Properties.Coffer.State == clusterPending || known == "" || strings.EqualFold(known, uid) {
		return nil
	}
	return fmt.Errorf("the kubeconfig leads to another cluster than %s: its kube-system has the UID %s, and that of the one that has joined has %s; "+
		"choose the cluster with --kubeconfig and --context, or, if it stands in that one's place, let that one leave with `coffer cluster leave %s`",
		v.Name, uid, known, v.ID)
}

func (p *program) completeClusters(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.completeFrom(cmd, func(ctx context.Context, s session) (string, error) {
		return s.clustersBelow(ctx, scopeFlags{group: flagOf(cmd, "resource-group")}, true)
	})
}

// clustersBelow is the collection of a resource group's clusters; without a group, that of the subscription.
func (s session) clustersBelow(ctx context.Context, at scopeFlags, profiles bool) (string, error) {
	if at.group == "" && (!profiles || s.profile.ResourceGroup == "") {
		subscription, err := s.subscriptionID(ctx)
		return subscription + "/" + clusterCollection, err
	}
	below, err := s.groupID(ctx, at)
	return below + "/" + clusterCollection, err
}

func (p *program) newClusterShow() *cobra.Command {
	var at scopeFlags
	cmd := &cobra.Command{
		Use: "show CLUSTER", Short: "Show a cluster, and whether it has joined", Args: oneCluster, ValidArgsFunction: p.completeClusters,
		Example: "  coffer cluster show shop-1 -g shop --query properties.coffer.state",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, id, err := p.atCluster(cmd.Context(), at, args[0])
			if err != nil {
				return err
			}
			return p.showCluster(cmd.Context(), s, id)
		},
	}
	at.bindGroup(p, cmd)
	return p.onServer(cmd)
}

// extensionView is the Backup extension of a cluster as the server shows it.
type extensionView struct {
	Properties struct {
		Kind     string             `json:"extensionType"`
		Settings map[string]*string `json:"configurationSettings"`
		Coffer   struct {
			StorageLocation struct {
				State   string `json:"state"`
				Message string `json:"message"`
				Command string `json:"command"`
			} `json:"storageLocation"`
		} `json:"coffer"`
	} `json:"properties"`
}

// extension is that of a cluster; there says whether there is one.
func (s session) extension(ctx context.Context, cluster string) (v extensionView, there bool, err error) {
	return firstOf(ctx, s, cluster+"/"+extensionCollection, func(v extensionView) bool { return strings.EqualFold(v.Properties.Kind, extensionKind) })
}

// showCluster shows a cluster, and to people how far it is with the storage location that its extension's settings name.
func (p *program) showCluster(ctx context.Context, s session, id string) error {
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: id})
	if err != nil {
		return err
	}
	shown := clusterNoun()
	shown.fields = func(text json.RawMessage) ([]field, error) {
		fields, err := clusterFields(text)
		if err != nil {
			return nil, err
		}
		v, _, err := s.extension(ctx, id)
		l := v.Properties.Coffer.StorageLocation
		said := l.State + ": " + l.Message
		switch {
		case err != nil:
			// Who may see the cluster may not see all that it has.
			said = "not known: " + err.Error()
		case l.State == "":
			said = ""
		}
		return slices.Insert(fields, len(fields)-1, field{"Storage location", said}, field{"Its owner runs", l.Command}), nil
	}
	return p.showOne(shown, reply.Body)
}

func (p *program) newClusterList() *cobra.Command {
	var at scopeFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the clusters of a resource group, or of the subscription", Aliases: []string{"ls"}, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.server()
			if err != nil {
				return err
			}
			path, err := s.clustersBelow(cmd.Context(), at, false)
			if err != nil {
				return err
			}
			return p.list(cmd.Context(), s, clusterNoun(), path)
		},
	}
	cmd.Flags().StringVarP(&at.group, "resource-group", "g", "", "resource group (default all of the subscription)")
	mustComplete(cmd, "resource-group", p.completeGroups)
	return p.onServer(cmd)
}

// told writes a line to a person about what was done.
func (p *program) told(format string, args ...any) {
	_, _ = fmt.Fprintln(p.Err, harmless(fmt.Sprintf(format, args...)))
}

// clusterFlags name the cluster in commands on what is configured at one, as az names it.
type clusterFlags struct {
	scopeFlags
	cluster string
}

func (f *clusterFlags) bind(p *program, cmd *cobra.Command) {
	f.bindGroup(p, cmd)
	cmd.Flags().StringVar(&f.cluster, "cluster-name", "", "cluster, by its name or id")
	mustComplete(cmd, "cluster-name", func(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		return p.completeClusters(cmd, nil, text)
	})
}

// id is the id of the cluster that is meant.
func (f clusterFlags) id(ctx context.Context, s session) (string, error) {
	if f.cluster == "" {
		return "", usageError{errors.New("name the cluster with --cluster-name")}
	}
	return s.clusterID(ctx, f.scopeFlags, f.cluster)
}

// firstOf is the first of a collection that something is true of.
func firstOf[T any](ctx context.Context, s session, path string, is func(T) bool) (found T, there bool, err error) {
	all, err := s.List(ctx, path)
	if err != nil {
		return found, false, err
	}
	var views []T
	for _, text := range all {
		one, err := decodeAs[T](text)
		if err != nil {
			return found, false, err
		}
		views = append(views, one)
	}
	if i := slices.IndexFunc(views, is); i >= 0 {
		return views[i], true, nil
	}
	return found, false, nil
}
