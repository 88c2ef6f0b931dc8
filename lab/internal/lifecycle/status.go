package lifecycle

import (
	"context"
	"time"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
	"github.com/coffer-backup/coffer/lab/internal/process"
	"github.com/coffer-backup/coffer/lab/internal/teardown"
)

// The states of a component.
const (
	Running = "running"
	Dead    = "dead"
)

// Status is what runs of a cluster.
type Status struct {
	Name       string            `json:"name"`
	Mode       cluster.Mode      `json:"mode"`
	Server     string            `json:"server"`
	Kubeconfig string            `json:"kubeconfig"`
	Components []ComponentStatus `json:"components"`
	// CutOffFrom is what `lab partition` separates it from.
	CutOffFrom []string `json:"cutOffFrom,omitempty"`
	// Others are the processes of pods, and those that look after them.
	Others OthersStatus `json:"others"`
	// Total is what all of them occupy. The sum of resident sizes counts shared pages once per process.
	Total process.Memory `json:"total"`
}

// ComponentStatus is one component. PID and Since are left out for a dead one.
type ComponentStatus struct {
	Name  string     `json:"name"`
	State string     `json:"state"`
	PID   int        `json:"pid,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	process.Memory
}

// OthersStatus sums up processes that are no components.
type OthersStatus struct {
	Count int `json:"count"`
	process.Memory
}

// ReadStatus looks at the cluster's processes.
func ReadStatus(ctx context.Context, c *cluster.Cluster) (Status, error) {
	status := Status{Name: c.Name, Mode: c.Mode, Server: c.HostServer(), Kubeconfig: c.Kubeconfig()}
	known := map[int]bool{}
	for _, spec := range component.All(c) {
		record, err := component.Load(c, spec.Name)
		if err != nil {
			return status, err
		}
		one := ComponentStatus{Name: spec.Name, State: Dead}
		if record.Alive() {
			one = ComponentStatus{Name: spec.Name, State: Running, PID: record.PID, Since: &record.Started, Memory: record.Memory()}
			known[record.PID] = true
		}
		status.Components = append(status.Components, one)
		status.Total.Add(one.Memory)
	}
	target := teardown.Target{Root: c.Root(), Name: c.Name, Foreign: c.Mode == cluster.ControlPlaneOnly}
	belongs, err := target.Belongs(ctx)
	if err != nil {
		return status, err
	}
	processes, err := process.Find(belongs)
	if err != nil {
		return status, err
	}
	for _, found := range processes {
		if !known[found.PID] {
			status.Others.Count++
			status.Others.Add(found.Memory())
		}
	}
	status.Total.Add(status.Others.Memory)
	status.CutOffFrom, err = cutOffFrom(ctx, c)
	return status, err
}
