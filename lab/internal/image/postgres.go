package image

import (
	"context"
	"fmt"
)

// Postgres placeholder
func Postgres(ctx context.Context, tag string) (Spec, error) { return Spec{}, fmt.Errorf("todo") }
