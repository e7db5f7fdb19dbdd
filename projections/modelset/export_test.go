package modelset

import "time"

func init() { completionWait = time.Minute }
