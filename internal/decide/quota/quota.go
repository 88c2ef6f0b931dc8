// Package quota decides how many of something there may be: the server's bounds, and tighter ones of a vault.
package quota

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Quotas bound what there may be; 0 is no bound.
type Quotas struct {
	// Backups on demand, and Restores, are those that begin on a day, by UTC, of an instance.
	Backups, Restores int
	// Namespaces are those that an instance names, and Instances and Policies those of a vault.
	Namespaces, Instances, Policies int
}

// AKS are those that AKS Backup has.
func AKS() Quotas {
	return Quotas{Backups: 10, Restores: 10, Namespaces: 800, Instances: 5000, Policies: 5000}
}

// Words are quotas as Parse reads them; what has no bound is left out.
func (q Quotas) Words() (words []string) {
	for _, k := range kinds {
		if n := *k.bound(&q); n > 0 {
			words = append(words, k.word+"="+strconv.Itoa(n))
		}
	}
	return words
}

// Kind is what is counted.
type Kind int

// The kinds.
const (
	Backups Kind = iota
	Restores
	Namespaces
	Instances
	Policies
)

// kind is how one is called: by the server's flag, in a vault, and by people.
type kind struct {
	word, field, noun string
	bound             func(q *Quotas) *int
	wire              func(q *arm.Quotas) **int
}

var kinds = []kind{
	Backups:    {"on-demand-backups", "onDemandBackupsPerDay", "on-demand backups", func(q *Quotas) *int { return &q.Backups }, func(q *arm.Quotas) **int { return &q.OnDemandBackupsPerDay }},
	Restores:   {"restores", "restoresPerDay", "restores", func(q *Quotas) *int { return &q.Restores }, func(q *arm.Quotas) **int { return &q.RestoresPerDay }},
	Namespaces: {"namespaces", "namespacesPerInstance", "namespaces", func(q *Quotas) *int { return &q.Namespaces }, func(q *arm.Quotas) **int { return &q.NamespacesPerInstance }},
	Instances:  {"instances", "instancesPerVault", "backup instances", func(q *Quotas) *int { return &q.Instances }, func(q *arm.Quotas) **int { return &q.InstancesPerVault }},
	Policies:   {"policies", "policiesPerVault", "backup policies", func(q *Quotas) *int { return &q.Policies }, func(q *arm.Quotas) **int { return &q.PoliciesPerVault }},
}

// Parse reads quotas as the server's flag has them: aks, none, or NAME=NUMBER; a later word goes before an earlier one.
func Parse(words []string) (q Quotas, err error) {
	for _, text := range words {
		switch name, value, pair := strings.Cut(strings.TrimSpace(text), "="); {
		case !pair && name == "aks":
			q = AKS()
		case !pair && name == "none":
			q = Quotas{}
		default:
			n, number := strconv.ParseUint(value, 10, 31)
			k := named(name)
			if !pair || k == nil || number != nil {
				return Quotas{}, fmt.Errorf("%.60q is no quota: write aks, none, or one of %s with a number, such as restores=10; 0 is no bound", text, names())
			}
			*k.bound(&q) = int(n)
		}
	}
	return q, nil
}

// ParseOwn reads the quotas of a vault in the same words. aks and none are the server's; 0 takes one away.
func ParseOwn(words []string) (*arm.Quotas, error) {
	var w arm.Quotas
	for _, text := range words {
		q, err := Parse([]string{text})
		k := named(strings.Split(strings.TrimSpace(text), "=")[0])
		switch {
		case err != nil:
			return nil, fmt.Errorf("%.60q is no quota of a vault: write one of %s with a number, such as restores=10; 0 takes one away", text, names())
		case k == nil:
			return nil, fmt.Errorf("%s is for servers: write one of %s with a number, such as restores=10", text, names())
		}
		n := *k.bound(&q)
		*k.wire(&w) = &n
	}
	return &w, nil
}

func named(word string) *kind {
	for i := range kinds {
		if kinds[i].word == word {
			return &kinds[i]
		}
	}
	return nil
}

func names() string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = k.word
	}
	return strings.Join(words, ", ")
}

// With are quotas with what a vault's body says of them. What it leaves out stays, and 0 takes one away.
func (q Quotas) With(w *arm.Quotas) Quotas {
	if w == nil {
		return q
	}
	for _, k := range kinds {
		if n := *k.wire(w); n != nil {
			*k.bound(&q) = *n
		}
	}
	return q
}

// Shown are the quotas of a vault as they are shown, or nil if it has none of its own.
func (q Quotas) Shown() *arm.Quotas {
	var w arm.Quotas
	some := false
	for _, k := range kinds {
		if n := *k.bound(&q); n > 0 {
			*k.wire(&w), some = &n, true
		}
	}
	if !some {
		return nil
	}
	return &w
}

// Bound is how many of a kind there may be; Most is 0 if there is no bound.
type Bound struct {
	Most int
	// vault says that it is the vault's own, and not the server's.
	vault bool
	kind  Kind
}

// Tighter is the bound of a kind: the server's, or a vault's where that is lower.
func Tighter(k Kind, server, vault Quotas) Bound {
	most, own := *kinds[k].bound(&server), *kinds[k].bound(&vault)
	if own > 0 && (most == 0 || own < most) {
		return Bound{Most: own, vault: true, kind: k}
	}
	return Bound{Most: most, kind: k}
}

// Day is when the day began that counts: by UTC, whatever the zone of the policy or of the server.
func Day(now time.Time) time.Time { return now.UTC().Truncate(24 * time.Hour) }

// Check refuses one more of what there are used of already. name is the instance's that backs up or restores, or the vault's that holds them.
func (b Bound) Check(used int, name string, now time.Time) error {
	if b.Most == 0 || used < b.Most {
		return nil
	}
	noun := kinds[b.kind].noun
	switch b.kind {
	case Backups, Restores:
		today := Day(now)
		return coffer.Errorf(coffer.CodeQuotaReached, "the backup instance %s has begun %d %s since %s, and its quota is %d a day (UTC)", name, used, noun, today.Format(time.RFC3339), b.Most).
			WithHint("the next is possible from %s on; %s", today.AddDate(0, 0, 1).Format(time.RFC3339), b.raise())
	default:
		return coffer.Errorf(coffer.CodeQuotaReached, "the Backup vault %s holds %d %s, and its quota is %d", name, used, noun, b.Most).
			WithHint("delete one that is not needed, or use another vault; %s", b.raise())
	}
}

// CheckNamespaces refuses an instance that names more namespaces than it may, unless it named as many before the quota was set.
func (b Bound) CheckNamespaces(names, before int, instance string) error {
	if b.Most == 0 || names <= b.Most || names <= before {
		return nil
	}
	return coffer.Errorf(coffer.CodeQuotaReached, "the backup instance %s names %d namespaces, and its quota is %d", instance, names, b.Most).
		WithHint("name fewer, and make another instance of the rest; %s", b.raise())
}

// raise says who can change a bound.
func (b Bound) raise() string {
	if b.vault {
		return "who may write the vault can change it: properties.coffer.quotas." + kinds[b.kind].field
	}
	return "who runs the server can change it: coffer-server --quotas " + kinds[b.kind].word + "=NUMBER"
}
