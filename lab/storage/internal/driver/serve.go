package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	// stopGrace is how long calls under way may take to end after a stop.
	stopGrace = 10 * time.Second
	// dialTimeout bounds the look whether somebody answers at a socket.
	dialTimeout = time.Second
)

// ServeConfig says where a driver listens.
type ServeConfig struct {
	// Endpoint is the CSI socket, unix:///path.
	Endpoint string
	// RegistrationDir is the folder the kubelet watches for plugins; "" leaves out the registration.
	RegistrationDir string
	// ReadyFunc is called once the driver answers; nil is not.
	ReadyFunc func()
}

// Serve answers CSI calls, and the kubelet's registration calls, until ctx ends. It removes its sockets
// then. A socket left by a killed driver is replaced; one at which somebody answers is an error.
func (d *Driver) Serve(ctx context.Context, cfg ServeConfig) error {
	path, err := SocketPath(cfg.Endpoint)
	if err != nil {
		return err
	}
	logger := d.identityServer.Logger
	calls := grpc.NewServer(grpc.UnaryInterceptor(logFailures(logger)))
	csi.RegisterIdentityServer(calls, &d.identityServer)
	csi.RegisterControllerServer(calls, &d.controllerServer)
	csi.RegisterNodeServer(calls, &d.nodeServer)
	listener, err := listen(path)
	if err != nil {
		return err
	}
	servers := map[*grpc.Server]net.Listener{calls: listener}
	if cfg.RegistrationDir != "" {
		// Only now that the driver can be called may the kubelet hear of it.
		listener, err := listen(filepath.Join(cfg.RegistrationDir, d.identityServer.Name+"-reg.sock"))
		if err != nil {
			return errors.Join(err, servers[calls].Close())
		}
		server := grpc.NewServer()
		registration.RegisterRegistrationServer(server, &registrar{name: d.identityServer.Name, endpoint: path, logger: logger})
		servers[server] = listener
	}
	return serveAll(ctx, servers, cfg.ReadyFunc)
}

func serveAll(ctx context.Context, servers map[*grpc.Server]net.Listener, readyFunc func()) error {
	group, ctx := errgroup.WithContext(ctx)
	for server, listener := range servers {
		group.Go(func() error {
			// Closing a Unix listener, which stopping does, removes its socket.
			return server.Serve(listener)
		})
		group.Go(func() error {
			<-ctx.Done()
			stop(server)
			return nil
		})
	}
	if readyFunc != nil {
		readyFunc()
	}
	return group.Wait()
}

// stop lets calls under way finish, within reason.
func stop(server *grpc.Server) {
	timer := time.AfterFunc(stopGrace, server.Stop)
	defer timer.Stop()
	server.GracefulStop()
}

// SocketPath is the path in an endpoint such as unix:///run/csi.sock.
func SocketPath(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "unix" || u.Host != "" || !filepath.IsAbs(u.Path) {
		return "", fmt.Errorf("endpoint %q: it must have the form unix:///path/to.sock", endpoint)
	}
	return u.Path, nil
}

func listen(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, dialTimeout); err == nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: another driver answers there", path), conn.Close())
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove stale socket: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return listener, nil
}

// logFailures logs a call that fails, where it ends.
func logFailures(logger *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		began := time.Now()
		response, err := handler(ctx, req)
		if err != nil {
			logger.Warn("call failed", "method", info.FullMethod, "code", status.Code(err), "error", err)
		} else {
			logger.Debug("call", "method", info.FullMethod, "took", time.Since(began))
		}
		return response, err
	}
}

// registrar tells the kubelet about the driver.
type registrar struct {
	registration.UnimplementedRegistrationServer
	name     string
	endpoint string
	logger   *slog.Logger
}

// GetInfo says what kind of plugin this is and where it answers.
func (r *registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type:              registration.CSIPlugin,
		Name:              r.name,
		Endpoint:          r.endpoint,
		SupportedVersions: []string{"1.0.0"},
	}, nil
}

// NotifyRegistrationStatus logs whether the kubelet accepted the driver; the kubelet tries again by itself.
func (r *registrar) NotifyRegistrationStatus(_ context.Context, result *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if result.GetPluginRegistered() {
		r.logger.Info("registered with the kubelet", "driver", r.name)
	} else {
		r.logger.Error("the kubelet refused the driver", "driver", r.name, "error", result.GetError())
	}
	return &registration.RegistrationStatusResponse{}, nil
}
