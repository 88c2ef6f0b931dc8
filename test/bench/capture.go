package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/test/interop"
)

const mebi = 1 << 20

// capturePrefix is how the namespaces of the capture rows are called.
const capturePrefix = "capture"

// capture measures a whole Backup of n objects against reading the same lists and throwing them away, and the peak of the
// memory of the process that does it against 160 MiB.
func (b *bench) capture(ctx context.Context, n int) ([]row, error) {
	name := fmt.Sprintf("capture-%dk", n/1000)
	if err := b.fill(ctx, name, n); err != nil {
		return nil, err
	}
	// Its peak is to be of this alone.
	if err := b.restart(ctx); err != nil {
		return nil, err
	}
	var ours, reference []float64
	for i := range repetitions {
		listed, took, err := b.listAll(ctx)
		if err != nil {
			return nil, err
		}
		reference = append(reference, took.Seconds())
		backup := fmt.Sprintf("%s-%d-%d", name, os.Getpid(), i)
		took, err = b.backUp(ctx, backup, nil)
		if err != nil {
			return nil, err
		}
		ours = append(ours, took.Seconds())
		say("%s: %d objects listed in %.2fs, backed up in %.2fs", name, listed, reference[i], ours[i])
		if err := b.deleteBackup(ctx, backup); err != nil {
			return nil, err
		}
	}
	peak, err := interop.Peak(b.extension.Process.Pid)
	if err != nil {
		return nil, err
	}
	return []row{
		newRow(name, ours, reference, "s", "<= 2.0", "whole Backup against a raw paged LIST by one connection"),
		newRow(fmt.Sprintf("capture-memory-%dk", n/1000), []float64{float64(peak) / mebi}, []float64{160}, "MiB", "<= 1.0",
			"peak resident memory of the capturing process, of all repetitions, against the budget"),
	}, nil
}

// fill creates what n objects lack. They stay: a larger row adds to them.
func (b *bench) fill(ctx context.Context, name string, n int) error {
	if b.captured >= n {
		return nil
	}
	namespaces, objects := mixed(capturePrefix, n)
	say("%s: creating %d objects in %d namespaces", name, n-b.captured, len(namespaces))
	if err := errors.Join(createNamespaces(ctx, b.cluster, namespaces), createAll(ctx, b.cluster, objects[b.captured:])); err != nil {
		return err
	}
	b.captured = n
	return nil
}

// captureLarge measures the peak of the memory of a Backup of the largest objects that an API server takes.
func (b *bench) captureLarge(ctx context.Context, n int) ([]row, error) {
	const name, space = "capture-memory-large", "capture-large"
	objects := make([]object, 0, n)
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same objects every time, and no secret in them
	for i := range n {
		body := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"large-%d","namespace":%q,"annotations":{"a":%q}},"data":{"d":%q}}`,
			i, space, text(r, 250<<10), text(r, 1020<<10))
		objects = append(objects, object{core("configmaps", "ConfigMap"), space, []byte(body)})
	}
	say("%s: creating %d objects of 1.3 MB", name, n)
	if err := errors.Join(createNamespaces(ctx, b.cluster, []string{space}), createAll(ctx, b.cluster, objects), b.restart(ctx)); err != nil {
		return nil, err
	}
	for i := range repetitions {
		backup := fmt.Sprintf("%s-%d", name, i)
		took, err := b.backUp(ctx, backup, nil)
		if err != nil {
			return nil, err
		}
		say("%s: backed up in %.2fs", name, took.Seconds())
		if err := b.deleteBackup(ctx, backup); err != nil {
			return nil, err
		}
	}
	peak, err := interop.Peak(b.extension.Process.Pid)
	if err != nil {
		return nil, err
	}
	return []row{newRow(name, []float64{float64(peak) / mebi}, []float64{160}, "MiB", "<= 1.0", fmt.Sprintf("the same of %d objects of 1.3 MB among the others", n))},
		b.deleteNamespaces(ctx, []string{space})
}

// listAll reads every list of the cluster, page by page over one connection, and does nothing with it.
func (b *bench) listAll(ctx context.Context) (objects int, took time.Duration, err error) {
	types, _, err := b.cluster.Types(ctx)
	if err != nil {
		return 0, 0, err
	}
	one := rest.CopyConfig(b.config)
	// Compression costs more than it saves on the way: without it, the reference is faster.
	one.DisableCompression = true
	transport, err := rest.HTTPClientFor(one)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	for _, t := range types {
		token := ""
		for {
			path := b.config.Host + "/apis/" + t.Group + "/" + t.Version + "/" + t.Resource
			if t.Group == "" {
				path = b.config.Host + "/api/" + t.Version + "/" + t.Resource
			}
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, path+"?limit=500&continue="+token, nil)
			if err != nil {
				return 0, 0, err
			}
			answer, err := transport.Do(request)
			if err != nil {
				return 0, 0, err
			}
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || answer.StatusCode != http.StatusOK {
				return 0, 0, errors.Join(fmt.Errorf("list %s: the API server answers %s", t.GroupResource, answer.Status), err)
			}
			var page struct {
				Metadata struct{ Continue string }
				Items    []json.RawMessage
			}
			if err := json.Unmarshal(body, &page); err != nil {
				return 0, 0, err
			}
			objects += len(page.Items)
			if token = page.Metadata.Continue; token == "" {
				break
			}
		}
	}
	return objects, time.Since(began), nil
}
