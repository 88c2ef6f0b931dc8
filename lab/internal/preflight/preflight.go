// Package preflight finds out, before anything is made, why a cluster could not come up on this machine.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
	"github.com/coffer-backup/coffer/lab/internal/network"
)

// Request is the cluster that is to come up.
type Request struct {
	Root cluster.Root
	Name string
	Mode cluster.Mode
	// Nodes is how many nodes the cluster is to have; zero means one.
	Nodes int
	// BinDir holds the lab's own binaries.
	BinDir string
	// HostPort is the loopback port asked for; zero lets the lab choose.
	HostPort int
	// MinDisk and MinMemory are the bytes that must be free.
	MinDisk, MinMemory int64
}

// Problem is one reason, and what to do about it.
type Problem struct {
	What   string
	Remedy string
}

// String is the problem in one line.
func (p Problem) String() string { return p.What + ": " + p.Remedy }

// Check returns every problem there is. It leaves nothing behind, also when it is killed.
func Check(ctx context.Context, r Request) []Problem {
	if problem := checkName(ctx, r); problem != nil {
		return []Problem{*problem}
	}
	if r.Mode == cluster.Full && os.Geteuid() != 0 {
		// What follows would only repeat this in other words.
		return []Problem{{"a full cluster needs root", "run it as root, or use --control-plane-only"}}
	}
	if problem := checkNodes(r); problem != nil {
		return []Problem{*problem}
	}
	problems := checkBinaries(r)
	problems = append(problems, checkResources(r)...)
	if problem := checkPort(r.HostPort); problem != nil {
		problems = append(problems, *problem)
	}
	if r.Mode == cluster.Full {
		missing := checkPrograms()
		problems = append(problems, missing...)
		problems = append(problems, checkKernel(ctx, len(missing) == 0)...)
	}
	return problems
}

// checkName finds what stands in the way of a new cluster of that name.
func checkName(ctx context.Context, r Request) *Problem {
	if err := cluster.ValidateName(r.Name); err != nil {
		return &Problem{"the name does not do", err.Error()}
	}
	c, err := r.Root.Load(r.Name)
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		if _, err := os.Stat(r.Root.Dir(r.Name)); err == nil {
			return &Problem{fmt.Sprintf("a part of an earlier cluster %s is left in %s", r.Name, r.Root.Dir(r.Name)), r.downCommand()}
		}
	case err != nil:
		return &Problem{err.Error(), r.downCommand()}
	case running(c):
		return &Problem{fmt.Sprintf("cluster %s is already up", r.Name), fmt.Sprintf("see `lab status --name %s`, or end it with `lab down --name %s`", r.Name, r.Name)}
	default:
		return &Problem{fmt.Sprintf("a dead cluster %s is left in %s", r.Name, c.Dir()), r.downCommand()}
	}
	if r.Mode == cluster.Full && network.Exists(cluster.Namespace(r.Name)) {
		return r.nameTaken(ctx)
	}
	return checkRootLength(r)
}

func checkNodes(r Request) *Problem {
	switch {
	case r.Nodes < 0 || r.Nodes > cluster.MaxNodes:
		return &Problem{fmt.Sprintf("%d nodes are not possible", r.Nodes), fmt.Sprintf("give --nodes a number from 1 to %d", cluster.MaxNodes)}
	case r.Nodes > 1 && r.Mode == cluster.ControlPlaneOnly:
		return &Problem{fmt.Sprintf("a control plane only has no nodes, and %d are asked for", r.Nodes), "leave out --nodes or --control-plane-only"}
	}
	return nil
}

func (r Request) nameTaken(ctx context.Context) *Problem {
	owner, err := network.Owner(ctx, cluster.Namespace(r.Name))
	if err != nil || owner == "" || owner == r.Root {
		return &Problem{"network namespace " + cluster.Namespace(r.Name) + " is left from an earlier cluster", r.downCommand()}
	}
	return &Problem{
		fmt.Sprintf("a cluster %s of the lab folder %s is up on this machine", r.Name, owner),
		fmt.Sprintf("use another --name, or end it with `lab down --name %s --root %s`", r.Name, owner),
	}
}

func (r Request) downCommand() string {
	return fmt.Sprintf("remove it with `lab down --name %s`", r.Name)
}

func running(c *cluster.Cluster) bool {
	for _, spec := range component.All(c) {
		if record, err := component.Load(c, spec.Name); err == nil && record.Alive() {
			return true
		}
	}
	return false
}

// maxSocketPath is how long the path of a Unix socket may be.
const maxSocketPath = 107

// checkRootLength makes sure that sockets deep in the cluster's folder can have their names.
func checkRootLength(r Request) *Problem {
	if r.Mode != cluster.Full {
		return nil
	}
	asked := r.Root.Planned(r.Name, r.Nodes)
	// The last node's folder is as deep as any.
	nodes := asked.Nodes()
	registration := filepath.Join(nodes[len(nodes)-1].RegistrationDir(), component.DriverNameNoSnap+"-reg.sock")
	if len(registration) <= maxSocketPath {
		return nil
	}
	return &Problem{
		fmt.Sprintf("the lab folder %s has too long a name for the sockets in it", r.Root),
		fmt.Sprintf("choose a --root that is %d characters shorter", len(registration)-maxSocketPath),
	}
}
