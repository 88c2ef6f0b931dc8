package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

// repeatTime is for how long a request is known again: longer than clients try, which give up after ten minutes, and shorter than somebody waits who
// wants the same once more.
const repeatTime = 15 * time.Minute

// asking is a caller whose request, if it has an id of its own, is known again when it is repeated: the same principal asks the same of the same resource
// by the same id. With another body it is another request. Some clients give all their requests one id.
func (c Caller) asking(action string, id catalogue.ID, body []byte) Caller {
	c.asked = ""
	if c.ClientRequest != "" {
		sum := sha256.New()
		for _, part := range []string{c.Principal.ObjectID, action, id.Key(), c.ClientRequest, string(body)} {
			_, _ = fmt.Fprintf(sum, "%d:%s", len(part), part)
		}
		c.asked = hex.EncodeToString(sum.Sum(nil))
	}
	return c
}

// begunBefore is what the same request has begun for an instance before, whose answer may have been lost; again is false if it has not, or if what it has
// begun has failed, or was cancelled: whoever asks once more wants it done. It is asked in the transaction that begins a job: of two who ask at once, one
// is asked again once the other has begun its own.
func begunBefore(ctx context.Context, v catalogue.View, by Caller, instance catalogue.ID, now time.Time) (begun Begun, again bool, err error) {
	if by.asked == "" {
		return begun, false, nil
	}
	operation, err := v.OperationOf(ctx, by.asked, now.Add(-repeatTime))
	if err != nil {
		return begun, false, gone(err)
	}
	var result arm.OperationJob
	if err := json.Unmarshal(orEmpty(operation.Result), &result); err != nil {
		return begun, false, fmt.Errorf("read what has begun with the operation %s of %s: %w", operation.Kind, instance, err)
	}
	id := catalogue.ID(result.JobID)
	kept, err := v.Job(ctx, instance.Parent(), id.Name())
	if err != nil {
		return begun, false, gone(err) // its vault may have been deleted, and made anew
	}
	if kept.Status == string(job.Failed) || kept.Status == string(job.Cancelled) {
		return begun, false, nil
	}
	return Begun{Job: id, Operation: operation}, true, nil
}
