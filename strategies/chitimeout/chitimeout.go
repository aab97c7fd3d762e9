// Package chitimeout has the strategy chi-timeout, of the router chi.
package chitimeout

import (
	"gotimeout/strategies"

	"github.com/go-chi/chi/v5/middleware"
)

// Strategy returns the strategy chi-timeout: chi's middleware.Timeout around a handler that
// calls the ops. The middleware cancels the context of the request at the timeout, waits for
// the handler and answers 504 if the handler has not; it sets a context and bounds nothing
// (https://github.com/go-chi/chi/issues/198), so a deaf op answers 200, late.
func Strategy() strategies.Strategy {
	return strategies.Strategy{
		Name: "chi-timeout", Family: strategies.AroundHandler,
		Doc: "chi's middleware.Timeout around the handler: it cancels the context at the timeout and answers 504 when the handler returns; a deaf op answers 200, late.",
		Do:  strategies.Middleware(middleware.Timeout).Do,
	}
}
