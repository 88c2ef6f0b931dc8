package driver

import (
	"errors"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coffer-backup/coffer/lab/storage/internal/mount"
	"github.com/coffer-backup/coffer/lab/storage/internal/pool"
)

// statusOf gives err the CSI code that fits it; what already has a code keeps it.
func statusOf(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	code := codes.Internal
	switch {
	case errors.Is(err, pool.ErrNotFound):
		code = codes.NotFound
	case errors.Is(err, mount.ErrOffline):
		code = codes.FailedPrecondition
	case errors.Is(err, unix.ENOSPC):
		code = codes.ResourceExhausted
	}
	return status.Error(code, err.Error())
}

// missing is the error for a request that lacks a required field.
func missing(field string) error {
	return status.Errorf(codes.InvalidArgument, "%s is required", field)
}
