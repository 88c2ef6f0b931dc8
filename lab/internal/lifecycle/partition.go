package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/network"
	"github.com/coffer-backup/coffer/lab/internal/service"
)

// Partition cuts all traffic between two of a lab folder's clusters, its services or one of them, and the host. What is
// connected stays so, and stalls. It may be repeated.
func Partition(ctx context.Context, root cluster.Root, one, other string) error {
	cut, err := findCut(root, one, other)
	if err != nil {
		return err
	}
	return network.Sever(ctx, cut)
}

// Heal undoes Partition, and reports whether there was anything to undo.
func Heal(ctx context.Context, root cluster.Root, one, other string) (bool, error) {
	cut, err := findCut(root, one, other)
	if err != nil {
		return false, err
	}
	return network.Heal(ctx, cut)
}

// HealAll undoes every Partition of a lab folder, and returns the pairs that it was between.
func HealAll(ctx context.Context, root cluster.Root) ([]string, error) {
	cuts, err := cutsOf(ctx, root)
	if err != nil {
		return nil, err
	}
	var healed []string
	for _, c := range cuts {
		if _, err := network.Heal(ctx, c.Cut); err != nil {
			return healed, err
		}
		healed = append(healed, c.names[0]+" and "+c.names[1])
	}
	return healed, nil
}

// findCut is the cut between two parties that are called by their names.
func findCut(root cluster.Root, one, other string) (network.Cut, error) {
	var cut network.Cut
	for i, name := range []string{one, other} {
		party, err := findParty(root, name)
		if err != nil {
			return cut, err
		}
		cut[i] = party
	}
	switch {
	case one == other:
		return cut, fmt.Errorf("%s cannot be cut off from itself: name two", one)
	case cut[0].Index == cut[1].Index:
		return cut, fmt.Errorf("%s and %s are both services, which are one machine to all others: put the fault proxy in between instead", one, other)
	}
	return cut, nil
}

func findParty(root cluster.Root, name string) (network.Party, error) {
	if name == cluster.HostName {
		return network.Party{}, nil
	}
	ports := service.Ports(name)
	if name == cluster.ServicesName || len(ports) > 0 {
		return findServices(root, name, ports)
	}
	c, err := root.Load(name)
	if errors.Is(err, cluster.ErrNotFound) {
		return network.Party{}, fmt.Errorf("there is no cluster %s in %s: name a cluster that is up, services, one of %s, or host", name, root, strings.Join(service.Names(), ", "))
	}
	if err != nil {
		return network.Party{}, err
	}
	if c.Index == 0 {
		return network.Party{}, fmt.Errorf("cluster %s has no network of its own: bring it up without --control-plane-only", name)
	}
	return partyOf(c), nil
}

func partyOf(c *cluster.Cluster) network.Party {
	return network.Party{Index: c.Index, Namespace: cluster.Namespace(c.Name)}
}

// findServices is the party of all services, or of one with its ports.
func findServices(root cluster.Root, name string, ports []int) (network.Party, error) {
	set, err := service.Load(root)
	if err != nil && !errors.Is(err, service.ErrNone) {
		return network.Party{}, err
	}
	party := network.Party{Ports: ports}
	missing := err != nil
	if err == nil {
		party.Index, party.Namespace = set.Index, set.Namespace()
	}
	if name != cluster.ServicesName {
		party.Service = name
		missing = missing || !set.Has(name)
	}
	if missing {
		return party, fmt.Errorf("there is nothing of %s in %s: bring it up with `lab service up`", name, root)
	}
	return party, nil
}

// namedCut is a cut with what its parties are called.
type namedCut struct {
	network.Cut
	names [2]string
}

// cutsOf lists the cuts between what belongs to a lab folder.
func cutsOf(ctx context.Context, root cluster.Root) ([]namedCut, error) {
	known := map[int]network.Party{0: {}}
	called := map[int]string{0: cluster.HostName}
	names, err := root.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		// A cluster without a record has lost more than its connections.
		if c, err := root.Load(name); err == nil && c.Index != 0 {
			known[c.Index], called[c.Index] = partyOf(c), name
		}
	}
	set, err := service.Load(root)
	if err == nil {
		known[set.Index] = network.Party{Index: set.Index, Namespace: set.Namespace()}
		called[set.Index] = cluster.ServicesName
	} else if !errors.Is(err, service.ErrNone) {
		return nil, err
	}
	var namespaces []string
	for _, party := range known {
		if party.Namespace != "" {
			namespaces = append(namespaces, party.Namespace)
		}
	}
	cuts, err := network.Cuts(ctx, namespaces...)
	if err != nil {
		return nil, err
	}
	var own []namedCut
	for _, cut := range cuts {
		if named, ok := nameCut(cut, known, called); ok {
			own = append(own, named)
		}
	}
	slices.SortFunc(own, func(a, b namedCut) int { return strings.Compare(a.names[0]+" "+a.names[1], b.names[0]+" "+b.names[1]) })
	return own, nil
}

// nameCut completes a cut whose parties are all known.
func nameCut(cut network.Cut, known map[int]network.Party, called map[int]string) (namedCut, bool) {
	var named namedCut
	for i, found := range cut {
		party, ok := known[found.Index]
		if !ok {
			return named, false
		}
		party.Service = found.Service
		named.Cut[i], named.names[i] = party, called[found.Index]
		if found.Service != "" {
			named.names[i] = found.Service
		}
	}
	return named, true
}

// cutOffFrom lists what a cluster is cut off from.
func cutOffFrom(ctx context.Context, c *cluster.Cluster) ([]string, error) {
	if c.Index == 0 {
		return nil, nil
	}
	cuts, err := cutsOf(ctx, c.Root())
	if err != nil {
		return nil, err
	}
	var others []string
	for _, cut := range cuts {
		for i, name := range cut.names {
			if name == c.Name {
				others = append(others, cut.names[1-i])
			}
		}
	}
	return others, nil
}
