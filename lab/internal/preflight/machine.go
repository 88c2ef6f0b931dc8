package preflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/coffer-backup/coffer/lab/internal/cgroup"
	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/config"
	"github.com/coffer-backup/coffer/lab/internal/network"
	"github.com/coffer-backup/coffer/lab/internal/tool"
)

// program is one that must be installed, and the Debian package that has it.
type program struct{ name, pkg string }

var programs = []program{
	{"containerd", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"nft", "nftables"},
	{"conntrack", "conntrack"},
	{"mkfs.xfs", "xfsprogs"},
	{"mkfs.ext4", "e2fsprogs"},
	{"resize2fs", "e2fsprogs"},
	{"ip", "iproute2"},
	{"losetup", "mount"},
	{"mount", "mount"},
	{"nsenter", "util-linux"},
}

var cniPlugins = []string{"ptp", "host-local", "loopback"}

// binaries are the lab's own programs for each mode.
var binaries = map[cluster.Mode][]string{
	cluster.ControlPlaneOnly: {"lab-kubernetes", "lab-storage"},
	cluster.Full: {"lab", "lab-kubernetes", "lab-pause", "lab-storage", "coredns",
		"snapshot-controller", "csi-snapshotter", "csi-resizer"},
}

func checkBinaries(r Request) []Problem {
	var problems []Problem
	for _, name := range binaries[r.Mode] {
		info, err := os.Stat(filepath.Join(r.BinDir, name))
		if err != nil || info.Mode()&0o111 == 0 {
			problems = append(problems, Problem{
				fmt.Sprintf("the lab's program %s is not in %s", name, r.BinDir),
				"build the lab, and name the folder with --bin-dir or COFFER_LAB_BIN",
			})
		}
	}
	return problems
}

func checkPrograms() []Problem {
	var problems []Problem
	for _, p := range programs {
		if _, err := tool.Path(p.name); err != nil {
			problems = append(problems, missing(p.name, p.pkg))
		}
	}
	for _, plugin := range cniPlugins {
		path := filepath.Join(config.CNIBinDir, plugin)
		if _, err := os.Stat(path); err != nil {
			problems = append(problems, missing(path, "containernetworking-plugins"))
		}
	}
	return problems
}

func missing(name, pkg string) Problem {
	return Problem{name + " is missing", "install it with `apt-get install " + pkg + "`"}
}

func checkResources(r Request) []Problem {
	var problems []Problem
	folder := existingParent(string(r.Root))
	var status unix.Statfs_t
	if err := unix.Statfs(folder, &status); err != nil {
		problems = append(problems, Problem{fmt.Sprintf("the free space of %s cannot be read (%v)", folder, err), "choose another --root"})
	} else if free := int64(status.Bavail) * status.Bsize; free < r.MinDisk {
		problems = append(problems, Problem{
			fmt.Sprintf("%s has %s of disk free, %s are needed", folder, size(free), size(r.MinDisk)),
			"make room, choose another --root, or ask for less with --min-disk",
		})
	}
	available, err := availableMemory()
	if err != nil {
		problems = append(problems, Problem{err.Error(), "mount /proc"})
	} else if available < r.MinMemory {
		problems = append(problems, Problem{
			fmt.Sprintf("%s of memory are available, %s are needed", size(available), size(r.MinMemory)),
			"end other programs, or ask for less with --min-memory",
		})
	}
	return problems
}

// existingParent is path or the nearest folder above it that is there.
func existingParent(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

func availableMemory() (int64, error) {
	content, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("the available memory cannot be read: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemAvailable:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the available memory cannot be read: /proc/meminfo does not say")
}

// size is a number of bytes for people.
func size(bytes int64) string {
	return strconv.FormatFloat(float64(bytes)/(1<<30), 'f', 1, 64) + " GiB"
}

func checkPort(port int) *Problem {
	if port == 0 {
		return nil
	}
	if port < 0 || port > 65535 {
		return &Problem{fmt.Sprintf("%d is not a port", port), "give --api-port a number from 1 to 65535, or leave it out"}
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return &Problem{fmt.Sprintf("port %d of 127.0.0.1 is taken", port), "give another to --api-port, or leave it out and get a free one"}
	}
	listener.Close()
	return nil
}

// checkKernel looks for what the kernel must be able to do. What needs programs to find out is left out without them.
func checkKernel(ctx context.Context, havePrograms bool) []Problem {
	var problems []Problem
	for _, name := range []string{"overlay", "xfs", "ext4"} {
		if !hasFilesystem(ctx, name) {
			problems = append(problems, kernelProblem("the file system "+name, name))
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		if _, err := tool.Run(ctx, "modprobe", "loop"); err != nil {
			problems = append(problems, kernelProblem("loop devices", "loop"))
		}
	}
	problems = append(problems, checkControllers()...)
	if havePrograms {
		problems = append(problems, checkNetworking(ctx)...)
	}
	return problems
}

func kernelProblem(feature, module string) Problem {
	return Problem{"the kernel lacks " + feature, "load it with `modprobe " + module + "`, or boot a kernel that has it"}
}

func hasFilesystem(ctx context.Context, name string) bool {
	if listed(name) {
		return true
	}
	// Most kernels have it as a module.
	_, err := tool.Run(ctx, "modprobe", name)
	return err == nil && listed(name)
}

func listed(filesystem string) bool {
	content, err := os.ReadFile("/proc/filesystems")
	return err == nil && slices.Contains(strings.Fields(string(content)), filesystem)
}

func checkControllers() []Problem {
	have, err := cgroup.Controllers()
	if err != nil {
		return []Problem{{err.Error(), "mount the control groups under /sys/fs/cgroup"}}
	}
	var problems []Problem
	for _, controller := range []string{"cpu", "cpuset", "memory", "pids"} {
		if !slices.Contains(have, controller) {
			problems = append(problems, Problem{"the control group controller " + controller + " is not there", "mount the control groups under /sys/fs/cgroup with it"})
		}
	}
	return problems
}

// checkNetworking tries everything in a network namespace that vanishes with the try.
func checkNetworking(ctx context.Context) []Problem {
	tries := []struct {
		feature, module, program string
		args                     []string
	}{
		{"virtual ethernet pairs", "veth", "ip", []string{"link", "add", "try0", "type", "veth", "peer", "name", "try1"}},
		{"network bridges", "bridge", "ip", []string{"link", "add", "try2", "type", "bridge"}},
		{"nftables with address translation", "nft_chain_nat", "nft",
			[]string{"add table ip try; add chain ip try nat { type nat hook prerouting priority 0; }; add rule ip try nat ct state new tcp dport 1 dnat to 127.0.0.1"}},
	}
	var problems []Problem
	err := network.InScratch(func() error {
		for _, try := range tries {
			if _, err := tool.Run(ctx, try.program, try.args...); err != nil {
				problems = append(problems, kernelProblem(try.feature, try.module))
			}
		}
		return nil
	})
	if err != nil {
		return []Problem{{"the kernel does not allow network namespaces (" + err.Error() + ")", "allow them to this machine"}}
	}
	return problems
}
