module github.com/clusterlite/clusterlite/events

go 1.26
