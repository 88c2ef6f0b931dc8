// Package provisioner makes a persistent volume, through a CSI driver, for every claim that asks for one.
package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	snapshotclient "github.com/kubernetes-csi/external-snapshotter/client/v8/clientset/versioned"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// The lab has one user and little memory.
const (
	workers       = 2
	clientQPS     = 20
	clientBurst   = 40
	retryFirst    = 500 * time.Millisecond
	retryMost     = 5 * time.Second
	callTimeout   = 60 * time.Second
	probeInterval = 500 * time.Millisecond
	driverTimeout = 60 * time.Second
)

// Config is what a provisioner needs.
type Config struct {
	// Address is the CSI socket of the driver, unix:///path.
	Address string
	// Kubeconfig is the kubeconfig file of the cluster.
	Kubeconfig string
	// Logger gets what happens.
	Logger *slog.Logger
}

// Run provisions volumes for the driver at the address until ctx ends. It waits a minute for the driver to answer.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Address == "" || cfg.Kubeconfig == "" {
		return errors.New("--csi-address and --kubeconfig are required")
	}
	klog.SetSlogLogger(cfg.Logger)
	restConfig, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	restConfig.QPS, restConfig.Burst = clientQPS, clientBurst
	restConfig.UserAgent = "lab-storage-provisioner"
	snapshots, err := snapshotclient.NewForConfig(restConfig)
	if err != nil {
		return fmt.Errorf("make snapshot client: %w", err)
	}
	// Snapshot resources have no protobuf form; the rest is half the size in it.
	restConfig.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	conn, err := grpc.NewClient(cfg.Address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		return fmt.Errorf("reach driver: %w", err)
	}
	defer conn.Close()
	driver, err := inspect(ctx, conn)
	if err != nil {
		return fmt.Errorf("ask driver at %s for its name: %w", cfg.Address, err)
	}
	cfg.Logger.Info("provisioning", "driver", driver.Name, "snapshots", driver.Snapshots, "clones", driver.Clones)
	work := &provisioner{
		driver:    driver,
		volumes:   csi.NewControllerClient(conn),
		claims:    client.CoreV1(),
		snapshots: snapshots.SnapshotV1(),
		identity:  strconv.FormatInt(time.Now().UnixMilli(), 10) + "-" + driver.Name,
	}
	control(ctx, client, work)
	return nil
}

// control runs the library's controller until ctx ends and its workers are done.
func control(ctx context.Context, client kubernetes.Interface, work *provisioner) {
	var running sync.WaitGroup
	retries := workqueue.NewTypedItemExponentialFailureRateLimiter[string](retryFirst, retryMost)
	saves := workqueue.NewTypedItemExponentialFailureRateLimiter[string](retryFirst, retryMost)
	library := controller.NewProvisionController(ctx, client, work.driver.Name, work,
		controller.LeaderElection(false),
		controller.Threadiness(workers),
		controller.RateLimiter(retries),
		// An infeasible request is tried again once in this time; its claim cannot be changed, but what it
		// refers to can.
		controller.RetryIntervalMax(retryMost),
		controller.CreateProvisionedPVLimiter(saves),
		controller.FailedProvisionThreshold(0),
		controller.FailedDeleteThreshold(0),
		controller.AddFinalizer(true),
		controller.ProvisionTimeout(callTimeout),
		controller.DeletionTimeout(callTimeout),
	)
	library.ControllerWaitGroup(&running)
	library.Run(ctx)
	running.Wait()
}

// Driver is what the provisioner knows of its driver.
type Driver struct {
	Name      string
	Snapshots bool
	Clones    bool
}

// inspect waits until the driver answers and asks what it can do.
func inspect(ctx context.Context, conn *grpc.ClientConn) (Driver, error) {
	ctx, cancel := context.WithTimeout(ctx, driverTimeout)
	defer cancel()
	identity := csi.NewIdentityClient(conn)
	for {
		info, err := identity.GetPluginInfo(ctx, &csi.GetPluginInfoRequest{})
		if err == nil {
			return capabilitiesOf(ctx, conn, info.GetName())
		}
		if status.Code(err) != codes.Unavailable {
			return Driver{}, err
		}
		select {
		case <-ctx.Done():
			return Driver{}, errors.Join(ctx.Err(), err)
		case <-time.After(probeInterval):
		}
	}
}

func capabilitiesOf(ctx context.Context, conn *grpc.ClientConn, name string) (Driver, error) {
	response, err := csi.NewControllerClient(conn).ControllerGetCapabilities(ctx, &csi.ControllerGetCapabilitiesRequest{})
	if err != nil {
		return Driver{}, err
	}
	driver := Driver{Name: name}
	for _, capability := range response.GetCapabilities() {
		switch capability.GetRpc().GetType() {
		case csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT:
			driver.Snapshots = true
		case csi.ControllerServiceCapability_RPC_CLONE_VOLUME:
			driver.Clones = true
		}
	}
	return driver, nil
}
