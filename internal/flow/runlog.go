package flow

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// maxRunLog bounds the log of a run as it is read, unzipped: in a ConfigMap, it has a MiB at most, and text is zipped to a tenth.
const maxRunLog = 64 << 20

// logPiece is about how much of a log is told at once.
const logPiece = 64 << 10

var configMapType = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Version: "v1", Kind: "ConfigMap", Namespaced: true}

// Logs calls each for the log of a run, piece by piece, each of whole lines; it keeps none of them. kind is Backup, Restore or another kind of run. A run without a log is an
// Error with CodeNotFound.
func (r *Reader) Logs(ctx context.Context, kind, name string, each func(text []byte) error) error {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return coffer.Errorf(coffer.CodeInvalid, "%q cannot be the name of a %s: %s", name, kind, problems[0])
	}
	body, err := r.config.Cluster.Get(ctx, configMapType, r.config.Namespace, v1alpha1.RunLogName(kind, name))
	if coffer.CodeOf(err) == coffer.CodeNotFound {
		return coffer.Errorf(coffer.CodeNotFound, "there is no log of %s %s: it has not begun, or it was deleted", kind, name)
	}
	if err != nil {
		return err
	}
	var kept corev1.ConfigMap
	if err := json.Unmarshal(body, &kept); err != nil {
		return fmt.Errorf("read the log of %s %s: %w", kind, name, err)
	}
	zipped := kept.BinaryData[v1alpha1.RunLogField]
	if len(zipped) == 0 {
		return nil
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return coffer.Errorf(coffer.CodeArchiveCorrupt, "the log of %s %s is not readable: %w", kind, name, err)
	}
	in, piece := bufio.NewReaderSize(io.LimitReader(unzipped, maxRunLog), logPiece), make([]byte, 0, 2*logPiece)
	for {
		// By lines, so that no character is cut in two; a longer one than a piece is none of ours.
		line, readErr := in.ReadSlice('\n')
		piece = append(piece, line...)
		if goesOn := readErr == nil || errors.Is(readErr, bufio.ErrBufferFull); goesOn && len(piece) < logPiece {
			continue
		}
		if len(piece) > 0 {
			if err := errors.Join(ctx.Err(), each(piece)); err != nil {
				return err
			}
			piece = piece[:0]
		}
		switch {
		case errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF):
			return nil
		case readErr != nil && !errors.Is(readErr, bufio.ErrBufferFull):
			return coffer.Errorf(coffer.CodeArchiveCorrupt, "the log of %s %s is not readable: %w", kind, name, readErr)
		}
	}
}
