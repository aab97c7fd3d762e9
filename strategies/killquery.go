package strategies

import "time"

func killQuery() Strategy {
	return Strategy{
		Name: "kill-query", Family: InBackend,
		Doc:    "Cancels the context at the timeout, and the client has the server kill the query from a second connection (KILL QUERY): the work stops for aware and deaf ops alike, a round trip or two after the timeout.",
		Only:   []string{"db"},
		Client: func(timeout time.Duration) ClientBounds { return ClientBounds{Kill: timeout} },
		Do:     KillQuery{}.Do,
	}
}

// KillQuery is the strategy kill-query: Do is that of ContextCancel, around ops whose client
// kills the query at the timeout (see Strategy.Client). The answer comes when the server has
// ended the query, so it is late by the time of the kill. A client that doesn't get the kill
// done in time closes its connection, and the query runs on.
type KillQuery struct{ ContextCancel }
