// Package helm installs the Backup extension's chart into a cluster.
package helm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/storage/driver"
	"helm.sh/helm/v4/pkg/strvals"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// release is the name of the Helm release. There is one extension in a namespace.
const release = "coffer-extension"

// Installer installs one chart.
type Installer struct {
	// Chart holds the chart's files below Folder.
	Chart  fs.FS
	Folder string
	Log    *slog.Logger
}

// Options say what is installed where.
type Options struct {
	Getter      genericclioptions.RESTClientGetter
	Namespace   string
	Image       string
	Set         []string
	ValuesFiles []string
	// Values win over those of files, and Set over all.
	Values  map[string]any
	Timeout time.Duration
}

// Install installs the chart, or upgrades it, and waits until its workloads are ready. Its custom resource
// definitions are applied first, on upgrades too: Helm itself only ever installs them.
func (i *Installer) Install(ctx context.Context, o Options) error {
	loaded, err := i.load()
	if err != nil {
		return err
	}
	values, err := values(o)
	if err != nil {
		return err
	}
	if err := applyDefinitions(ctx, o.Getter, loaded); err != nil {
		return err
	}
	config, err := i.configuration(o)
	if err != nil {
		return err
	}
	_, err = action.NewHistory(config).Run(release)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		install := action.NewInstall(config)
		install.ReleaseName, install.Namespace, install.CreateNamespace = release, o.Namespace, true
		install.SkipCRDs, install.WaitStrategy, install.Timeout = true, kube.StatusWatcherStrategy, o.Timeout
		_, err = install.RunWithContext(ctx, loaded, values)
		return withReasons(ctx, o, err)
	}
	if err != nil {
		return fmt.Errorf("look for an installed release: %w", err)
	}
	upgrade := action.NewUpgrade(config)
	upgrade.Namespace, upgrade.SkipCRDs, upgrade.ResetThenReuseValues = o.Namespace, true, true
	upgrade.WaitStrategy, upgrade.Timeout, upgrade.MaxHistory = kube.StatusWatcherStrategy, o.Timeout, 5
	_, err = upgrade.RunWithContext(ctx, release, loaded, values)
	return withReasons(ctx, o, err)
}

// Uninstall removes the release. Custom resource definitions stay, for with them would go every Backup object.
func (i *Installer) Uninstall(_ context.Context, o Options) error {
	config, err := i.configuration(o)
	if err != nil {
		return err
	}
	uninstall := action.NewUninstall(config)
	uninstall.WaitStrategy, uninstall.Timeout = kube.StatusWatcherStrategy, 2*time.Minute
	if _, err := uninstall.Run(release); errors.Is(err, driver.ErrReleaseNotFound) {
		return fmt.Errorf("it is not installed in namespace %s", o.Namespace)
	} else if err != nil {
		return err
	}
	return nil
}

func (i *Installer) configuration(o Options) (*action.Configuration, error) {
	config := action.NewConfiguration(action.ConfigurationSetLogger(i.Log.Handler()))
	// Releases are kept in Secrets of the extension's namespace, as the helm program does.
	if err := config.Init(o.Getter, o.Namespace, "secret"); err != nil {
		return nil, fmt.Errorf("prepare Helm: %w", err)
	}
	return config, nil
}

func (i *Installer) load() (*chart.Chart, error) {
	var files []*archive.BufferedFile
	err := fs.WalkDir(i.Chart, i.Folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(i.Chart, name)
		files = append(files, &archive.BufferedFile{Name: strings.TrimPrefix(name, i.Folder+"/"), Data: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read chart: %w", err)
	}
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("read chart: %w", err)
	}
	return loaded, nil
}

func values(o Options) (map[string]any, error) {
	values := map[string]any{}
	for _, file := range o.ValuesFiles {
		text, err := os.ReadFile(file) //nolint:gosec // the user names the file
		if err != nil {
			return nil, fmt.Errorf("read values: %w", err)
		}
		var more map[string]any
		if err := yaml.UnmarshalStrict(text, &more); err != nil {
			return nil, fmt.Errorf("read values of %s: %w", file, err)
		}
		merge(values, more)
	}
	merge(values, o.Values)
	if o.Image != "" {
		repository, tag, ok := cutTag(o.Image)
		if !ok {
			return nil, fmt.Errorf("image %q has no tag: write REPOSITORY:TAG", o.Image)
		}
		merge(values, map[string]any{"image": map[string]any{"repository": repository, "tag": tag}})
	}
	for _, set := range o.Set {
		if err := strvals.ParseInto(set, values); err != nil {
			return nil, fmt.Errorf("--set %s: %w", set, err)
		}
	}
	return values, nil
}

// cutTag cuts at the last colon that is not a registry's port.
func cutTag(image string) (repository, tag string, ok bool) {
	at := strings.LastIndex(image, ":")
	if at <= strings.LastIndex(image, "/") {
		return "", "", false
	}
	return image[:at], image[at+1:], at+1 < len(image)
}

func merge(into, from map[string]any) {
	for k, v := range from {
		inner, isMap := v.(map[string]any)
		have, hasMap := into[k].(map[string]any)
		if isMap && hasMap {
			merge(have, inner)
			continue
		}
		into[k] = v
	}
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

func applyDefinitions(ctx context.Context, getter genericclioptions.RESTClientGetter, c *chart.Chart) error {
	config, err := getter.ToRESTConfig()
	if err != nil {
		return err
	}
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make API client: %w", err)
	}
	for _, crd := range c.CRDObjects() {
		var object unstructured.Unstructured
		if err := yaml.Unmarshal(crd.File.Data, &object.Object); err != nil {
			return fmt.Errorf("read %s: %w", path.Base(crd.Filename), err)
		}
		_, err := api.Resource(definitions).Apply(ctx, object.GetName(), &object, metav1.ApplyOptions{FieldManager: "coffer", Force: true})
		if err != nil {
			return fmt.Errorf("apply %s: %w", object.GetName(), err)
		}
	}
	return awaitDefinitions(ctx, api, c)
}

// awaitDefinitions waits until the API server serves the definitions: Helm would refuse the chart's own objects.
func awaitDefinitions(ctx context.Context, api dynamic.Interface, c *chart.Chart) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for _, crd := range c.CRDObjects() {
		var object unstructured.Unstructured
		if err := yaml.Unmarshal(crd.File.Data, &object.Object); err != nil {
			return fmt.Errorf("read %s: %w", path.Base(crd.Filename), err)
		}
		for {
			now, err := api.Resource(definitions).Get(ctx, object.GetName(), metav1.GetOptions{})
			if err == nil && established(now) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("wait for %s to be established: %w", object.GetName(), ctx.Err())
			case <-tick.C:
			}
		}
	}
	return nil
}

func established(definition *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(definition.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
			return true
		}
	}
	return false
}
