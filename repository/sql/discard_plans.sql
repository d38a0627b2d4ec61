-- Plan anew what this connection has prepared: a plan keeps the policies of when it was made, whatever the role may since.
discard plans
