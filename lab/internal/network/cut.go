package network

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/tool"
)

// ForwarderAddress is where forwarders call from, an address that every namespace has for itself. It tells what comes
// from the host apart from what the namespace's own programs say to each other. One of 127.0.0.0/8 would not do: the
// kubelet has packets dropped that go there from elsewhere, of connections that are older than it.
const ForwarderAddress = "10.77.255.1"

// Party is one side of a cut: a cluster, the services or one of them, or the host.
type Party struct {
	// Index is that of the cluster or of the services; zero is the host.
	Index int
	// Namespace is where the forwarder of the cluster or of the services is.
	Namespace string
	// Service and Ports are the name and the TCP ports of one service. With none it is all of them.
	Service string
	Ports   []int
}

// id is a name for tables and, sorted, for pairs of parties.
func (p Party) id() string {
	if p.Service != "" {
		return strconv.Itoa(p.Index) + "_" + p.Service
	}
	return strconv.Itoa(p.Index)
}

func (p Party) isServices() bool { return p.Index >= firstServices }

// Cut is a pair of parties that do not reach each other.
type Cut [2]Party

// table is the name of the packet filter's table that is the cut.
func (c Cut) table() string {
	ids := []string{c[0].id(), c[1].id()}
	slices.Sort(ids)
	return tablePrefix + strings.Join(ids, "_from_")
}

const tablePrefix = "cut_"

// place is where a cut is made, and by which family of tables: on the switch, or, if one side is the host, where the
// forwarder of the other is.
func (c Cut) place() (namespace, family string) {
	for i, party := range c {
		if party.Index == 0 {
			return c[1-i].Namespace, "inet"
		}
	}
	return Fabric, "bridge"
}

// Sever drops every packet between two parties, so that connections stall as they do when a line is cut. It may be
// repeated.
func Sever(ctx context.Context, c Cut) error {
	namespace, family := c.place()
	hook, rules := "forward priority 0", switchRules(c)
	if family == "inet" {
		hook, rules = "prerouting priority -300", hostRules(c)
	}
	// Adding before deleting makes deleting work where there is nothing yet; all of it happens at once.
	script := fmt.Sprintf("add table %[1]s %[2]s\ndelete table %[1]s %[2]s\ntable %[1]s %[2]s {\n chain cut {\n  type filter hook %[3]s;\n  %[4]s\n }\n}\n",
		family, c.table(), hook, strings.Join(rules, "\n  "))
	if _, err := nft(ctx, namespace, script, "-f", "-"); err != nil {
		return fmt.Errorf("cut the connection: %w", err)
	}
	return nil
}

// switchRules drop IP on its way through the switch. Neighbours go on finding each other, for a line that is cut
// somewhere behind the next router is what is meant.
func switchRules(c Cut) []string {
	var rules []string
	for i, from := range c {
		to := c[1-i]
		match := fmt.Sprintf("iifname %s oifname %s", from.links(), to.links())
		rules = append(rules,
			match+" ether type ip "+from.match("sport")+to.match("dport")+"drop")
	}
	return rules
}

// links matches the ports of the switch that the party hangs on.
func (p Party) links() string {
	if p.isServices() {
		return strconv.Quote(servicesPort(p.Index))
	}
	return fmt.Sprintf(`{ %q, %q }`, clusterPort(p.Index), clusterPort(p.Index)+"n*")
}

// match matches the ports of a service.
func (p Party) match(direction string) string {
	if p.Service == "" {
		return ""
	}
	return fmt.Sprintf("tcp %s { %s } ", direction, joined(p.Ports))
}

// hostRules drop what forwarders send and are sent.
func hostRules(c Cut) []string {
	party := c[0]
	if party.Index == 0 {
		party = c[1]
	}
	return []string{
		"ip saddr " + ForwarderAddress + " " + party.match("dport") + "drop",
		"ip daddr " + ForwarderAddress + " " + party.match("sport") + "drop",
	}
}

func joined(ports []int) string {
	var texts []string
	for _, port := range ports {
		texts = append(texts, strconv.Itoa(port))
	}
	return strings.Join(texts, ", ")
}

// Heal undoes Sever, and reports whether there was anything to undo.
func Heal(ctx context.Context, c Cut) (bool, error) {
	namespace, family := c.place()
	tables, err := cutTables(ctx, namespace)
	if err != nil || !slices.Contains(tables, c.table()) {
		return false, err
	}
	if _, err := nft(ctx, namespace, "", "delete", "table", family, c.table()); err != nil {
		return false, fmt.Errorf("heal the connection: %w", err)
	}
	return true, nil
}

// Cuts lists the cuts that are made on the switch, whoever's they are, and in some namespaces. Of their parties it tells
// the index and the name of the service.
func Cuts(ctx context.Context, namespaces ...string) ([]Cut, error) {
	var cuts []Cut
	for _, namespace := range append(namespaces, Fabric) {
		tables, err := cutTables(ctx, namespace)
		if err != nil {
			return nil, err
		}
		for _, table := range tables {
			if c, ok := parseTable(table); ok {
				cuts = append(cuts, c)
			}
		}
	}
	return cuts, nil
}

func parseTable(table string) (Cut, bool) {
	var c Cut
	one, other, ok := strings.Cut(strings.TrimPrefix(table, tablePrefix), "_from_")
	if !ok {
		return c, false
	}
	for i, id := range []string{one, other} {
		digits, service, _ := strings.Cut(id, "_")
		index, err := strconv.Atoi(digits)
		if err != nil {
			return c, false
		}
		c[i] = Party{Index: index, Service: service}
	}
	return c, true
}

// removeCuts removes what was cut off from an index on the switch, so that who gets it next is not. The caller holds the
// lock of the fabric.
func removeCuts(ctx context.Context, index int) error {
	tables, err := cutTables(ctx, Fabric)
	if err != nil {
		return err
	}
	for _, table := range tables {
		c, ok := parseTable(table)
		if !ok || (c[0].Index != index && c[1].Index != index) {
			continue
		}
		if _, err := nft(ctx, Fabric, "", "delete", "table", "bridge", table); err != nil {
			return fmt.Errorf("remove an old cut: %w", err)
		}
	}
	return nil
}

// cutTables lists the names of the tables that are cuts. A namespace that is not there has none.
func cutTables(ctx context.Context, namespace string) ([]string, error) {
	if !Exists(namespace) {
		return nil, nil
	}
	out, err := nft(ctx, namespace, "", "-j", "list", "tables")
	if err != nil {
		return nil, fmt.Errorf("list what is cut: %w", err)
	}
	var listed struct {
		NFTables []struct {
			Table struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(out), &listed); err != nil {
		return nil, fmt.Errorf("list what is cut: %w", err)
	}
	var tables []string
	for _, entry := range listed.NFTables {
		if strings.HasPrefix(entry.Table.Name, tablePrefix) {
			tables = append(tables, entry.Table.Name)
		}
	}
	return tables, nil
}

func nft(ctx context.Context, namespace, input string, args ...string) (string, error) {
	return tool.RunInput(ctx, input, "nsenter", append([]string{"--net=" + cluster.NamespacePath(namespace), "--", "nft"}, args...)...)
}
