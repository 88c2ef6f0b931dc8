package controller

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

const (
	// maxRunLog bounds the compressed log of a run: it has to fit into an object, whose limit is about 1 MiB encoded.
	maxRunLog = 600 << 10
	// runLogInterval is how often new lines of a log are saved while the run goes on.
	runLogInterval = 3 * time.Second
)

// runLog keeps what a run logs in a ConfigMap that lives and dies with the run object, so that people can read it
// with nothing but the cluster, also after the process that wrote it is gone. Every save adds a gzip member.
type runLog struct {
	client client.Client
	key    client.ObjectKey
	owner  metav1.OwnerReference
	// log is what the run logs to: this, and the extension's own log, which also says what became of this one.
	log, own *slog.Logger
	// ended says that the last line is written. One goroutine ends a run.
	ended bool

	// saving is held by who saves: of two at the same time, the older log might be the one that stays.
	saving sync.Mutex

	mu    sync.Mutex // guards all below
	saved []byte
	lines bytes.Buffer
	full  bool
	// unsaved says that there is what no save has stored.
	unsaved bool
}

func newRunLog(c client.Client, object client.Object, kind string, own *slog.Logger) *runLog {
	l := &runLog{
		client: c, own: own,
		key: client.ObjectKey{Namespace: object.GetNamespace(), Name: v1alpha1.RunLogName(kind, object.GetName())},
		owner: metav1.OwnerReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Name: object.GetName(), UID: object.GetUID(),
		},
	}
	l.log = slog.New(slog.NewMultiHandler(own.Handler(), slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo})))
	return l
}

// Write implements io.Writer.
func (l *runLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.full {
		l.lines.Write(line)
		l.unsaved = true
	}
	return len(line), nil
}

// transcript is the whole log so far, in gzip members.
func (l *runLog) transcript() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.compress()
	return bytes.Clone(l.saved)
}

// compress moves the lines into the saved bytes. The lock is held.
func (l *runLog) compress() {
	if l.lines.Len() == 0 || l.full {
		return
	}
	if len(l.saved) > maxRunLog {
		l.full = true
		l.lines.Reset()
		fmt.Fprintf(&l.lines, "the log of a run holds no more than %d bytes: what follows is in the log of the extension's pod\n", maxRunLog)
	}
	var member bytes.Buffer
	zip := gzip.NewWriter(&member)
	// Writing to memory does not fail.
	_, _ = zip.Write(l.lines.Bytes())
	_ = zip.Close()
	l.saved = append(l.saved, member.Bytes()...)
	l.lines.Reset()
}

// open takes up what an earlier process has saved.
func (l *runLog) open(ctx context.Context) error {
	var object corev1.ConfigMap
	err := l.client.Get(ctx, l.key, &object)
	if apierrors.IsNotFound(err) || err == nil && !l.owns(object) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the log of the run: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saved = object.BinaryData[v1alpha1.RunLogField]
	l.full = len(l.saved) > maxRunLog
	return nil
}

// owns says whether a ConfigMap is of this run, and not of an earlier one of the same name that is going away.
func (l *runLog) owns(object corev1.ConfigMap) bool {
	return len(object.OwnerReferences) == 1 && object.OwnerReferences[0].UID == l.owner.UID
}

// save makes the log durable, if there is anything new.
func (l *runLog) save(ctx context.Context) error {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.mu.Lock()
	if !l.unsaved {
		l.mu.Unlock()
		return nil
	}
	l.compress()
	content := bytes.Clone(l.saved)
	l.unsaved = false
	l.mu.Unlock()
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: l.key.Namespace, Name: l.key.Name,
			Labels: map[string]string{"app.kubernetes.io/managed-by": "coffer"}, OwnerReferences: []metav1.OwnerReference{l.owner},
		},
		BinaryData: map[string][]byte{v1alpha1.RunLogField: content},
	}
	err := l.client.Create(ctx, object)
	if apierrors.IsAlreadyExists(err) {
		err = l.client.Update(ctx, object)
	}
	if err != nil {
		l.mu.Lock()
		l.unsaved = true
		l.mu.Unlock()
		return fmt.Errorf("save the log of the run: %w", err)
	}
	return nil
}

// keep saves the log now and then until the returned function is called, which saves it once more. A log that cannot
// be saved does not hold the run up: its lines are in the extension's own log as well.
func (l *runLog) keep(ctx context.Context) (stop func()) {
	watched, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(runLogInterval)
		defer tick.Stop()
		for {
			select {
			case <-watched.Done():
				return
			case <-tick.C:
				if err := l.save(watched); err != nil && watched.Err() == nil {
					l.own.Warn("the run's log is not saved", "error", err)
				}
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
		l.saveLast(ctx)
	}
}

// saveLast is save also when the process is told to end.
func (l *runLog) saveLast(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := l.save(last); err != nil {
		l.own.Warn("the run's log is not saved", "error", err)
	}
}

// end writes the last line, how the run ends, and saves the log with it.
func (l *runLog) end(ctx context.Context, status v1alpha1.RunStatus) {
	if !l.ended {
		l.ended = true
		l.log.Info("run ended", "phase", status.Phase, "reason", status.Reason, "message", status.Message, "warnings", status.WarningCount)
	}
	l.saveLast(ctx)
}
