package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

func slotNoun() noun {
	return noun{name: "slot", heading: []string{"SLOT", "OUTCOME", "JOB", "DEALT WITH", "MISSED BEFORE"}, row: slotRow}
}

func slotRow(text json.RawMessage) ([]string, error) {
	s, err := decodeAs[arm.Slot](text)
	missed := ""
	if s.Missed > 0 {
		missed = fmt.Sprintf("%d since %s", s.Missed, timeText(s.MissedSince))
	}
	return []string{timeText(&s.Time), string(s.Outcome), catalogue.ID(s.JobID).Name(), timeText(&s.NotedTime), missed}, err
}

func (p *program) newInstanceSlots() *cobra.Command {
	var at instanceFlags
	var from, to string
	cmd := &cobra.Command{
		Use: "slots", Short: "List the times of a backup instance's schedule, newest first, and what became of each", Args: noArgs,
		Long: `List the times of a backup instance's schedule that have come in the last 400 days, newest first, and what became of each: Begun (its backup began in
time), CaughtUp (late), Overrun (left out, for the backup before it was under way) or Missed (no backup could begin). Slots that nobody has looked at in time are
counted with the one after them.`,
		Example: `  coffer backup-instance slots -g shop -v shop-vault -n shop
  coffer backup-instance slots -n shop --start-time 2026-11-01 --query "[?outcome!='Begun']"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atInstance(cmd.Context(), at)
			if err != nil {
				return err
			}
			query, err := filter(filterTerm{"startTime", from}, filterTerm{"endTime", to})
			if err != nil {
				return err
			}
			return p.list(cmd.Context(), s, slotNoun().such(query != ""), id+ownProvider+"slots"+query)
		},
	}
	at.bind(p, cmd)
	cmd.Flags().StringVar(&from, "start-time", "", "only slots from then on, such as 2026-11-01 or 2026-11-01T08:00:00Z")
	cmd.Flags().StringVar(&to, "end-time", "", "only slots up to then")
	return cmd
}
