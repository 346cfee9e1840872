SELECT ${columns} FROM ${source}
