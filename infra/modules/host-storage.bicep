// The host's storage: the timer's lock and the function keys; patrol's leases, reports and queue. Not the package.
param name string
param location string
param tags object
param skuName string
param isPrivate bool
@description('Where the log of what is put on queues goes.')
param auditWorkspaceId string

module made 'storage-account.bicep' = {
  name: 'host-storage-account'
  params: { name: name, location: location, tags: tags, skuName: skuName, isPrivate: isPrivate }
}

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: name

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      deleteRetentionPolicy: { enabled: true, days: 7 }
      containerDeleteRetentionPolicy: { enabled: true, days: 7 }
    }
    dependsOn: [made]

    resource leases 'containers' = {
      name: 'patrol-leases'
      properties: { publicAccess: 'None' }
    }

    resource runs 'containers' = {
      name: 'patrol-runs'
      properties: { publicAccess: 'None' }
    }

    resource enroll 'containers' = {
      name: 'patrol-enroll'
      properties: { publicAccess: 'None' }
    }
  }

  resource queues 'queueServices' = {
    name: 'default'
    dependsOn: [made]

    resource rotations 'queues' = {
      name: 'patrol-rotations'
    }

    // The host would make it with the first poison message; whoever looks before that should find it empty.
    resource poison 'queues' = {
      name: 'patrol-rotations-poison'
    }
  }

  // A user's last full look is an empty blob in the same container, written again each day: only who left gets old.
  resource expiry 'managementPolicies' = {
    name: 'default'
    properties: {
      policy: {
        rules: [
          {
            name: 'reports'
            enabled: true
            type: 'Lifecycle'
            definition: {
              filters: {
                // Parts of a report are append blobs: those can be deleted by a rule, though not moved between tiers.
                blobTypes: ['blockBlob', 'appendBlob']
                prefixMatch: ['patrol-runs/']
              }
              actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 30 } } }
            }
          }
        ]
      }
    }
    dependsOn: [blobs]
  }
}

// What is put on a queue, by whomever: the alert on the poison queue reads it. Reads and deletes would cost more and
// tell nothing.
resource messages 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'messages'
  scope: account::queues
  properties: {
    workspaceId: auditWorkspaceId
    logs: [
      { category: 'StorageWrite', enabled: true }
    ]
  }
}

output id string = made.outputs.id
